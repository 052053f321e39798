using System.Runtime;

namespace Runai.GpuMemory;

/// <summary>Gives memory back after busy times: create calls of megabytes leave a heap that the runtime, on a machine with room, would keep.</summary>
sealed class MemoryTrimmer(TimeProvider time) : BackgroundService
{
    const long EnoughBytes = 16 << 20;
    static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, time);
        var collections = 0;
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                // Without a collection in between, nothing much was allocated.
                if (GC.CollectionCount(0) == collections || GC.GetGCMemoryInfo().TotalCommittedBytes < EnoughBytes) continue;
                GCSettings.LargeObjectHeapCompactionMode = GCLargeObjectHeapCompactionMode.CompactOnce;
                GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                collections = GC.CollectionCount(0);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested) { }
    }
}
