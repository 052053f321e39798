using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Volumes;

/// <summary>Tells which process opens the shim in a private directory: a program in a container, before it runs.</summary>
public interface IShimWatch
{
    /// <summary>From now on.</summary>
    /// <param name="directory">As the plugin sees it.</param>
    void Add(string directory);
    /// <summary>No more.</summary>
    void Remove(string directory);
    /// <summary>Waits for the next opening and gives its process. Null where the kernel does not tell.</summary>
    int? Wait();
}

/// <summary>By the kernel's fanotify. It tells whoever opens the file, under whatever mount of it, and is rid of a watch when the directory is deleted.</summary>
public sealed partial class ShimWatch(ILogger<ShimWatch> log) : IShimWatch
{
    const uint CloseOnExec = 1, UnlimitedMarks = 32, MarkAdd = 1, MarkRemove = 2;
    const ulong Open = 32, OfChildren = 0x08000000;
    // O_RDONLY and O_CLOEXEC, for the files that events bring.
    const int CurrentDirectory = -100, ReadOnlyClosed = 0x80000;
    // event_len, version, reserved, metadata_len, mask, fd, pid
    const int FileAt = 16, ProcessAt = 20, EventBytes = 24;

    // Opened by whoever comes first; -1: not to be had.
    readonly Lazy<int> _events = new(() => Init(CloseOnExec | UnlimitedMarks, ReadOnlyClosed));

    public void Add(string directory) => Mark(MarkAdd, directory);

    public void Remove(string directory) => Mark(MarkRemove, directory);

    // What fails here comes later, with the engine's event.
    void Mark(uint change, string directory)
    {
        if (_events.Value >= 0) _ = Mark(_events.Value, change, Open | OfChildren, CurrentDirectory, directory);
    }

    // One event a read, so that several threads share them.
    public int? Wait()
    {
        var found = new byte[EventBytes];
        if (_events.Value < 0 || Read(_events.Value, found, found.Length) < 0)
        {
            LogNotTold(log, Marshal.GetLastPInvokeErrorMessage());
            return null;
        }
        // It brings the file opened; none where events were lost.
        if (BinaryPrimitives.ReadInt32LittleEndian(found.AsSpan(FileAt)) is var file and >= 0) _ = Close(file);
        return BinaryPrimitives.ReadInt32LittleEndian(found.AsSpan(ProcessAt));
    }

    [LibraryImport("libc", EntryPoint = "fanotify_init", SetLastError = true)]
    private static partial int Init(uint flags, uint fileFlags);

    [LibraryImport("libc", EntryPoint = "fanotify_mark", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Mark(int events, uint change, ulong mask, int directory, string path);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static partial nint Read(int file, [Out] byte[] buffer, nint length);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int file);

    [LoggerMessage(211, LogLevel.Information, "the kernel does not tell when a program opens the shim, so quotas come with the engine's word that a container runs: {Problem}")]
    static partial void LogNotTold(ILogger logger, string problem);
}
