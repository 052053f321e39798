// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Status;

/// <summary>Measures what containers have of the GPUs, only on demand: all who ask within two seconds share one
/// measurement. A thread of its own for each, and never two at a time: a driver that hangs keeps whoever asks
/// it.</summary>
sealed partial class UseMeter(
    IGpuMeter gpus,
    IGpuInventory inventory,
    IProcessCgroups processes,
    RunningContainers running,
    LostGpus lost,
    IRefusals refusals,
    TimeProvider time,
    ILogger<UseMeter> log
)
{
    /// <summary>A reader waits no longer than this for the driver.</summary>
    public static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(3);

    readonly OnDemand<MeasuredUse> _shared = new(VolumeLooks.MaxAge, MaxWait, time);

    /// <summary>The last one; null before there is one. Waits for nothing.</summary>
    public MeasuredUse? Last => _shared.Last;

    /// <summary>The last one, where it is young enough.</summary>
    public MeasuredUse? Recent => _shared.Recent;

    /// <summary>One that is young enough; where the driver does not answer in time, the last one there is, which says
    /// how old it is.</summary>
    public Task<MeasuredUse?> MeasureAsync(CancellationToken cancel) => _shared.MeasureAsync(Start, cancel);

    Task<MeasuredUse?> Start() =>
        Task.Factory.StartNew(
            Measure,
            CancellationToken.None,
            TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach,
            TaskScheduler.Default
        );

    MeasuredUse? Measure()
    {
        try
        {
            return Read(time.GetUtcNow());
        }
        catch (Exception e)
        {
            // Logged here, once; readers get the last measurement.
            LogFailed(log, e);
            return null;
        }
    }

    MeasuredUse Read(DateTimeOffset at)
    {
        _ = inventory.Devices; // where none was found, it looks again: a driver may be loaded after the plugin
        var readings = gpus.ReadAll();
        var groups = new Dictionary<int, IReadOnlyList<string>>();
        IReadOnlyList<string> ContainersOf(int pid) =>
            groups.TryGetValue(pid, out var known) ? known : groups[pid] = processes.ContainersOf(pid);
        var shares = new Dictionary<(string, string), ContainerShare>();
        foreach (var gpu in readings)
        {
            foreach (var use in ContainerUse.ByContainer(gpu.Processes ?? [], ContainersOf))
                shares[(use.Key, gpu.Uuid)] = new(use.Sum(process => process.Bytes), gpu.Percents is null ? null : 0);
            foreach (var (pid, percent) in gpu.Percents ?? new Dictionary<int, int>())
            foreach (var id in ContainersOf(pid))
                if (shares.TryGetValue((id, gpu.Uuid), out var share))
                    shares[(id, gpu.Uuid)] = share with { Percent = Math.Min(100, (share.Percent ?? 0) + percent) };
        }
        lost.Look();
        var (refused, unread) = ReadRefusals();
        return new(at, readings.DistinctBy(gpu => gpu.Uuid).ToDictionary(gpu => gpu.Uuid), shares, refused)
        {
            Unread = unread,
            IsMpsServed = groups.Any(process => process.Value.Count == 0 && MpsServer.Is(process.Key)),
        };
    }

    (Dictionary<string, IReadOnlyDictionary<string, Refusals>> Found, HashSet<string> Unread) ReadRefusals()
    {
        var found = new Dictionary<string, IReadOnlyDictionary<string, Refusals>>(StringComparer.Ordinal);
        var unread = new HashSet<string>(StringComparer.Ordinal);
        foreach (var container in running.All)
        {
            var files = container.Directories.Select(refusals.Read).ToArray();
            if (files.Contains(null))
                unread.Add(container.Id);
            else if (
                Merge([.. files.OfType<IReadOnlyDictionary<string, Refusals>>().Where(one => one.Count > 0)]) is
                { } refused
            )
                found[container.Id] = refused;
        }
        return (found, unread);
    }

    /// <summary>A container may have several private directories, and its shims one of them each.</summary>
    static IReadOnlyDictionary<string, Refusals>? Merge(IReadOnlyList<IReadOnlyDictionary<string, Refusals>> files) =>
        files switch
        {
            [] => null,
            [var only] => only,
            _ => files
                .SelectMany(file => file)
                .GroupBy(one => one.Key, one => one.Value, StringComparer.Ordinal)
                .ToDictionary(
                    gpu => gpu.Key,
                    gpu => gpu.MaxBy(one => one.LastTime)! with { Count = Sum(gpu.Select(one => one.Count)) },
                    StringComparer.Ordinal
                ),
        };

    /// <summary>Untrusted: does not overflow.</summary>
    static long Sum(IEnumerable<long> counts) =>
        counts.Aggregate(0L, (sum, count) => Math.Min(StatusContract.MaxNumber, sum + count));

    [LoggerMessage(700, LogLevel.Error, "a measurement for the status failed, and the next one follows")]
    static partial void LogFailed(ILogger logger, Exception e);
}
