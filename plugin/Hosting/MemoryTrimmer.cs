// SPDX-License-Identifier: Apache-2.0
using System.Runtime;
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Hosting;

/// <summary>Gives memory back after busy times: create calls of megabytes leave a heap that the runtime and the C
/// library, on a machine with room, would keep.</summary>
sealed partial class MemoryTrimmer(TimeProvider time, ILogger<MemoryTrimmer> log) : BackgroundService
{
    /// <summary>So much is not kept even while there is something to do.</summary>
    const long TooMuchBytes = 32 << 20;
    static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    // Collections are what shows how much was done: each follows some megabytes allocated.
    int _seen,
        _done;

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Loop.EveryAsync(Every, time, TrimAsync, log, stoppingToken);

    Task TrimAsync(CancellationToken cancel)
    {
        var before = _seen;
        var now = GC.CollectionCount(0);
        _seen = now;
        if (now == _done || (now != before && GC.GetGCMemoryInfo().TotalCommittedBytes < TooMuchBytes))
            return Task.CompletedTask;
        GCSettings.LargeObjectHeapCompactionMode = GCLargeObjectHeapCompactionMode.CompactOnce;
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        _ = TrimMalloc(0);
        _seen = _done = GC.CollectionCount(0);
        return Task.CompletedTask;
    }

    /// <summary>1 where something went back to the kernel, else 0.</summary>
    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int TrimMalloc(nuint keep);
}
