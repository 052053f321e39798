using System.Runtime;
using System.Runtime.InteropServices;

namespace Runai.GpuMemory;

/// <summary>Gives memory back after busy times: create calls of megabytes leave a heap, and the compiler of hot code leaves another, that the runtime and the C library,
/// on a machine with room, would keep.</summary>
sealed partial class MemoryTrimmer(TimeProvider time) : BackgroundService
{
    /// <summary>So much is not kept even while there is something to do.</summary>
    const long TooMuchBytes = 32 << 20;
    static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, time);
        // Collections are what shows how much was done: each follows some megabytes allocated.
        int seen = 0, done = 0;
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                var (before, now) = (seen, GC.CollectionCount(0));
                seen = now;
                if (now == done || (now != before && GC.GetGCMemoryInfo().TotalCommittedBytes < TooMuchBytes)) continue;
                GCSettings.LargeObjectHeapCompactionMode = GCLargeObjectHeapCompactionMode.CompactOnce;
                GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                _ = TrimMalloc(0);
                seen = done = GC.CollectionCount(0);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested) { }
    }

    /// <summary>1 where something went back to the kernel, else 0.</summary>
    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int TrimMalloc(nuint keep);
}
