using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Volumes;

/// <summary>Names on the disk: a file that was renamed has its new name after a power cut once its folder is written too, for which .NET has no call.</summary>
static partial class DiskSync
{
    const int CloseOnExec = 0x80000, Einval = 22;

    /// <summary>Throws <see cref="IOException"/> where the folder cannot be written. A file system that has nothing to write there says EINVAL.</summary>
    public static void Folder(string path)
    {
        var file = Open(path, CloseOnExec);
        try
        {
            if (file < 0 || (Sync(file) != 0 && Marshal.GetLastPInvokeError() != Einval)) throw new IOException($"fsync {path}: {new Win32Exception(Marshal.GetLastPInvokeError()).Message}");
        }
        finally
        {
            if (file >= 0) _ = Close(file);
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Sync(int file);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int file);
}
