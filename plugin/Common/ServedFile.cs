// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Runai.GpuMemory.Common;

/// <summary>Reads files that containers see. A container's root can have a lease (fcntl(2), F_SETLEASE) on one that is
/// not open elsewhere, and who opens it waits up to 45 s then; or any of its users a lock (flock(2)), and .NET's own
/// way of opening fails.</summary>
static partial class ServedFile
{
    const int ReadOnly = 0,
        NonBlocking = 0x800,
        CloseOnExec = 0x80000;

    // Differs by architecture.
    static readonly int NoFollow = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x8000 : 0x20000;

    /// <summary>Opens a file or a folder for reading. Waits for no lease and takes no lock.</summary>
    /// <returns>While it is open, no process gets a lease on it. Null where there is no such file, or a container has a
    /// lease on it.</returns>
    public static SafeFileHandle? TryOpen(string path) =>
        Open(path, ReadOnly | NonBlocking | CloseOnExec) is var file and >= 0 ? new(file, ownsHandle: true) : null;

    /// <summary>Reads the whole file, at the length that it has when it is opened.</summary>
    /// <returns>Null as above.</returns>
    public static byte[]? TryRead(string path)
    {
        using var file = TryOpen(path);
        return file is null ? null : Read(file);
    }

    /// <summary>Of a file that a container may make anything of, the beginning. Follows no link in the last place, and
    /// does not wait for a pipe.</summary>
    /// <returns>Null where nothing can be read.</returns>
    public static byte[]? TryReadUntrusted(string path, int maxBytes)
    {
        if (Open(path, ReadOnly | NonBlocking | CloseOnExec | NoFollow) is not (>= 0 and var number))
            return null;
        using var file = new SafeFileHandle(number, ownsHandle: true);
        try
        {
            var content = new byte[maxBytes];
            var length = 0;
            while (length < maxBytes && RandomAccess.Read(file, content.AsSpan(length), length) is > 0 and var read)
                length += read;
            return content[..length];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            return null;
        }
    }

    /// <summary>Reads an open file from its beginning. Returns less than its length if it is cut meanwhile. Throws
    /// <see cref="IOException"/>.</summary>
    public static byte[] Read(SafeFileHandle file)
    {
        var content = new byte[RandomAccess.GetLength(file)];
        var length = 0;
        while (length < content.Length && RandomAccess.Read(file, content.AsSpan(length), length) is > 0 and var read)
            length += read;
        return content[..length];
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);
}
