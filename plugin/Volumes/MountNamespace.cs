// SPDX-License-Identifier: Apache-2.0
using System.ComponentModel;
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Runai.GpuMemory.Volumes;

/// <summary>The calls that work in another process's mounts. Only for threads that end thereafter. Calls return -1 with
/// errno: EACCES and EPERM become <see cref="UnauthorizedAccessException"/>, the others <see cref="IOException"/>, with
/// the path's name.</summary>
static unsafe partial class MountNamespace
{
    // The flags of openat(2), which differ by architecture only in these two.
    static readonly int DirectoryFlag = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x4000 : 0x10000;
    static readonly int NoFollowFlag = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x8000 : 0x20000;
    const int CloseOnExec = 0x80000,
        PathOnly = 0x200000,
        CurrentDirectory = -100;
    const int NewMounts = 0x20000,
        SharedFilesystemState = 0x200;
    const ulong Private = 1 << 18,
        Shared = 1 << 20;
    const int Eperm = 1,
        Eacces = 13;

    /// <summary>See <see cref="IContainerMounts.MakePrivateAsync"/>.</summary>
    public static string? MakePrivate(int pid, MountEntry mount, string directory)
    {
        // All through this one handle: a process that took the same number later is not behind it.
        using var process = new Handle(
            CurrentDirectory,
            LivingThread.FolderOf(pid) ?? throw new IOException("No such process"),
            PathOnly | DirectoryFlag
        );
        using var theirs = new Handle(process, "ns/mnt", 0);
        using var ours = new Handle(CurrentDirectory, "/proc/thread-self/ns/mnt", 0);
        if (Unshare(SharedFilesystemState) != 0)
            throw Failure("unshare");
        // The namespace's: a process may have another.
        using var root = Open(theirs, ours, CurrentDirectory, "/"u8, PathOnly | DirectoryFlag);
        using var place = Walk(root, mount.Target);
        if (place.MountId() != mount.Id)
            return $"another mount is at {mount.Target}";
        if (place.Identity() is not { } found || found != Gpu.Statx.Identity(directory))
            return $"something else is mounted at {mount.Target}";

        // First where it changes nothing: all code of the runtime's that the calls need is in place then, and is not
        // looked for among the container's files.
        _ = Change(ours, root, Private | Shared, ours);
        var error = Change(theirs, place, Private, ours);
        return error == 0 ? null : throw Failure($"mount --make-private {mount.Target}", error);
    }

    /// <summary>Opens the list of all mounts of a process's namespace, whatever folder is the process's root.</summary>
    /// <param name="folder"><c>/proc/PID</c>, or a thread's.</param>
    public static SafeFileHandle OpenTable(string folder)
    {
        using var theirs = new Handle(CurrentDirectory, folder + "/ns/mnt", 0);
        using var ours = new Handle(CurrentDirectory, "/proc/thread-self/ns/mnt", 0);
        using var proc = new Handle(CurrentDirectory, "/proc", PathOnly | DirectoryFlag);
        if (Unshare(SharedFilesystemState) != 0)
            throw Failure("unshare");
        return Open(theirs, ours, proc, "thread-self/mountinfo"u8, 0).Release();
    }

    /// <summary>Opens a file as it is in another namespace. First in this one, for the reason above.</summary>
    static Handle Open(int inside, int back, int folder, ReadOnlySpan<byte> path, int flags)
    {
        fixed (byte* name = path)
        {
            _ = Close(OpenInside(back, back, folder, name, flags | CloseOnExec));
            var file = OpenInside(inside, back, folder, name, flags | CloseOnExec);
            return file >= 0 ? new(file) : throw Failure("a container's mounts", -file);
        }
    }

    /// <returns>The file, or an error less than 0. It is back, or the file is not used.</returns>
    static int OpenInside(int inside, int back, int folder, byte* path, int flags)
    {
        if (SetNamespace(inside, NewMounts) != 0)
            return -Marshal.GetLastPInvokeError();
        var file = OpenAt(folder, path, flags, 0);
        if (file < 0)
            file = -Marshal.GetLastPInvokeError();
        return SetNamespace(back, NewMounts) == 0 ? file : -Marshal.GetLastPInvokeError();
    }

    /// <summary>What is done inside: three calls, without a path of the container's and without an allocation, which
    /// could make the runtime read files.</summary>
    static int Change(int inside, int place, ulong propagation, int back)
    {
        if (SetNamespace(inside, NewMounts) != 0)
            return Marshal.GetLastPInvokeError();
        int error;
        fixed (byte* here = "."u8)
            error =
                ChangeDirectory(place) == 0 && Mount(null, here, null, propagation, null) == 0
                    ? 0
                    : Marshal.GetLastPInvokeError();
        return SetNamespace(back, NewMounts) == 0 ? error : Marshal.GetLastPInvokeError();
    }

    /// <summary>Step by step, so that no link is followed, whoever puts one there.</summary>
    static Handle Walk(Handle root, string path)
    {
        var at = new Handle(root, ".", PathOnly | DirectoryFlag);
        foreach (var name in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            using var above = at;
            at = new Handle(above, name, PathOnly | DirectoryFlag | NoFollowFlag);
        }
        return at;
    }

    static Exception Failure(string what) => Failure(what, Marshal.GetLastPInvokeError());

    static Exception Failure(string what, int error) =>
        error is Eperm or Eacces
            ? new UnauthorizedAccessException($"{what}: {new Win32Exception(error).Message}")
            : new IOException($"{what}: {new Win32Exception(error).Message}");

    /// <summary>An open file.</summary>
    sealed class Handle : IDisposable
    {
        int _file;

        public Handle(int folder, string path, int flags)
        {
            _file = OpenAt(folder, path, flags | CloseOnExec, 0);
            if (_file < 0)
                throw Failure(path);
        }

        public Handle(int file) => _file = file;

        public static implicit operator int(Handle handle) => handle._file;

        /// <summary>Of the mount that it is on.</summary>
        public int MountId()
        {
            const string Name = "mnt_id:";
            foreach (
                var line in File.ReadLines(
                    string.Create(CultureInfo.InvariantCulture, $"/proc/thread-self/fdinfo/{_file}")
                )
            )
                if (line.StartsWith(Name, StringComparison.Ordinal))
                    return int.Parse(
                        line.AsSpan(Name.Length),
                        NumberStyles.AllowLeadingWhite,
                        CultureInfo.InvariantCulture
                    );
            return -1;
        }

        public (uint Major, uint Minor, ulong Node)? Identity() => Gpu.Statx.Identity(_file);

        /// <summary>Whose it is from now on closes it.</summary>
        public SafeFileHandle Release() => new(Interlocked.Exchange(ref _file, -1), ownsHandle: true);

        public void Dispose()
        {
            if (_file >= 0)
                _ = Close(_file);
        }
    }

    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenAt(int directory, string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true)]
    private static partial int OpenAt(int directory, byte* path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int file);

    [LibraryImport("libc", EntryPoint = "unshare", SetLastError = true)]
    private static partial int Unshare(int flags);

    [LibraryImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static partial int SetNamespace(int file, int type);

    [LibraryImport("libc", EntryPoint = "fchdir", SetLastError = true)]
    private static partial int ChangeDirectory(int file);

    [LibraryImport("libc", EntryPoint = "mount", SetLastError = true)]
    private static partial int Mount(byte* source, byte* target, byte* type, ulong flags, void* data);
}
