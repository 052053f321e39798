// SPDX-License-Identifier: Apache-2.0
using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Volumes;

/// <summary>By the kernel's fanotify (fanotify(7)). It tells whoever opens the file, under whatever mount of it, and is
/// rid of a watch when the directory is deleted. From Linux 5.9 on it also tells the directory, by its file handle,
/// where the file system has such: else the process's mounts must be read, and while many containers start, the kernel
/// lets no process do that for a tenth of a second.</summary>
sealed partial class ShimWatch(ILogger<ShimWatch> log) : IShimWatch
{
    const uint CloseOnExec = 1,
        UnlimitedMarks = 32,
        ReportDirectory = 0x400,
        MarkAdd = 1,
        MarkRemove = 2;
    const ulong Open = 32,
        OfChildren = 0x08000000;

    // O_RDONLY and O_CLOEXEC, for the files that events bring.
    const int CurrentDirectory = -100,
        ReadOnlyClosed = 0x80000;

    // event_len, version, reserved, metadata_len, mask, fd, pid; then of the directory: type, pad, len, fsid, and the
    // handle: its size, its type, its bytes
    const int FileAt = 16,
        ProcessAt = 20,
        PlainBytes = 24,
        InfoHandleAt = 12,
        HandleHeadBytes = 8,
        MaxHandleBytes = 128;

    readonly Lock _lock = new();
    readonly TaskCompletionSource _begun = new();

    /// <summary>By handle, the names of the watched directories.</summary>
    readonly ConcurrentDictionary<string, string> _watched = new(StringComparer.Ordinal);

    // Set once, by the first that is watched: what its file system has, all have. -1: not to be had.
    volatile int _events = -1;
    volatile bool _tellsDirectories;

    /// <summary>False: as on a kernel that does not tell directories.</summary>
    internal bool AsksForDirectories { get; init; } = true;

    public void Add(string directory)
    {
        if (Handle(directory) is { } handle)
            _watched[handle] = Path.GetFileName(directory);
        lock (_lock)
        {
            if (!_begun.Task.IsCompleted)
                Begin(directory);
        }
        // What fails here comes later, with the engine's event.
        if (_events >= 0)
            _ = Mark(_events, MarkAdd, Open | OfChildren, CurrentDirectory, directory);
    }

    public void Remove(string directory)
    {
        if (Handle(directory) is { } handle)
            _watched.TryRemove(handle, out _);
        if (_events >= 0)
            _ = Mark(_events, MarkRemove, Open | OfChildren, CurrentDirectory, directory);
    }

    void Begin(string directory)
    {
        if (AsksForDirectories)
            _events = Init(CloseOnExec | UnlimitedMarks | ReportDirectory, ReadOnlyClosed);
        _tellsDirectories = _events >= 0 && Mark(_events, MarkAdd, Open | OfChildren, CurrentDirectory, directory) == 0;
        if (!_tellsDirectories)
        {
            if (_events >= 0)
                _ = Close(_events);
            _events = Init(CloseOnExec | UnlimitedMarks, ReadOnlyClosed);
            if (_events < 0)
                LogNotTold(log, Marshal.GetLastPInvokeErrorMessage());
        }
        _begun.SetResult();
    }

    public IReadOnlyList<ShimOpening>? Wait()
    {
#pragma warning disable RS0030 // in a thread of its own
        _begun.Task.Wait();
#pragma warning restore RS0030
        // Where there are no handles an event has one size, so that several threads share them.
        var events = new byte[
            _tellsDirectories ? PlainBytes + InfoHandleAt + HandleHeadBytes + MaxHandleBytes : PlainBytes
        ];
        if (_events < 0)
            return null;
        if (Read(_events, events, events.Length) is var length and >= 0)
            return Parse(events.AsSpan(0, (int)length));
        LogNotTold(log, Marshal.GetLastPInvokeErrorMessage());
        return null;
    }

    List<ShimOpening> Parse(ReadOnlySpan<byte> events)
    {
        var found = new List<ShimOpening>();
        for (int length; events.Length >= PlainBytes; events = events[length..])
        {
            length = BinaryPrimitives.ReadInt32LittleEndian(events);
            // It brings the file opened; none where it brings the directory, and where events were lost.
            if (BinaryPrimitives.ReadInt32LittleEndian(events[FileAt..]) is var file and >= 0)
                _ = Close(file);
            var dirId = _tellsDirectories ? Directory(events[PlainBytes..length]) : null;
            if (dirId is not null || !_tellsDirectories)
                found.Add(new(BinaryPrimitives.ReadInt32LittleEndian(events[ProcessAt..]), dirId));
        }
        return found;
    }

    string? Directory(ReadOnlySpan<byte> info) =>
        info.Length > InfoHandleAt + HandleHeadBytes ? _watched.GetValueOrDefault(Text(info[InfoHandleAt..])) : null;

    static string Text(ReadOnlySpan<byte> handle) =>
        Convert.ToHexString(handle[..(HandleHeadBytes + BinaryPrimitives.ReadInt32LittleEndian(handle))]);

    /// <summary>Null where the file system has none, or the directory is not there.</summary>
    static string? Handle(string directory)
    {
        var handle = new byte[HandleHeadBytes + MaxHandleBytes];
        BinaryPrimitives.WriteInt32LittleEndian(handle, MaxHandleBytes);
        return NameToHandle(CurrentDirectory, directory, handle, out _, 0) == 0 ? Text(handle) : null;
    }

    [LibraryImport("libc", EntryPoint = "fanotify_init", SetLastError = true)]
    private static partial int Init(uint flags, uint fileFlags);

    [LibraryImport(
        "libc",
        EntryPoint = "fanotify_mark",
        SetLastError = true,
        StringMarshalling = StringMarshalling.Utf8
    )]
    private static partial int Mark(int events, uint change, ulong mask, int directory, string path);

    [LibraryImport("libc", EntryPoint = "name_to_handle_at", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int NameToHandle(
        int directory,
        string path,
        [In, Out] byte[] handle,
        out int mountId,
        int flags
    );

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static partial nint Read(int file, [Out] byte[] buffer, nint length);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int file);

    [LoggerMessage(
        211,
        LogLevel.Information,
        "the kernel does not report when a program opens the shim, so quotas are written when the engine "
            + "reports that a container runs: {Problem}"
    )]
    static partial void LogNotTold(ILogger logger, string problem);
}
