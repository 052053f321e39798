// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Quotas;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>Compares now and then what the driver counts for each container with its quota, and finds those that have a
/// GPU without holding any of it. The limit is kept by the shim inside the container; a program that went around it is
/// seen here.</summary>
sealed partial class UseWatch(
    IGpuUse use,
    IGpuInventory gpus,
    IGpuReservations reservations,
    IProcessCgroups processes,
    ContainerReconciler reconciler,
    PluginSettings settings,
    TimeProvider time,
    ILogger<UseWatch> log
) : BackgroundService
{
    /// <summary>So often in a row the engine may fail to say what a container is that has more than its quota. A
    /// moment's trouble of the engine ends no container.</summary>
    const int MaxUnknownLooks = 3;

    /// <summary>Stopping one takes as long as it wants to, and none waits for another's end.</summary>
    const int AtOnce = 8;

    readonly ConcurrentDictionary<string, int> _unknown = new(StringComparer.Ordinal);

    /// <summary>Who had too much at the last reading. Only who still has it at the next one is reported.</summary>
    HashSet<string> _suspects = [];

    // A thread of its own: a driver that hangs keeps whoever asks it.
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        settings.WatchUse == TimeSpan.Zero
            ? Task.CompletedTask
            : Loop.EveryAsync(
                settings.WatchUse,
                time,
                cancel =>
                    Task.Factory.StartNew(
                            () => LookAsync(cancel),
                            cancel,
                            TaskCreationOptions.LongRunning,
                            TaskScheduler.Default
                        )
                        .Unwrap(),
                log,
                stoppingToken
            );

    async Task LookAsync(CancellationToken cancel)
    {
        try
        {
            var held = reservations.Reserved();
            var found = held.Count == 0 ? [] : Find(held, use.Read());
            var again = found.Where(one => _suspects.Contains(one.Key)).ToArray();
            _suspects = [.. found.Keys];
            foreach (var id in _unknown.Keys.Except(_suspects))
                _unknown.TryRemove(id, out _);
            await Parallel.ForEachAsync(
                again,
                new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancel },
                async (one, token) => await JudgeAsync(one.Key, one.Value, token)
            );
        }
        catch (Exception e) when (e is EngineException or IOException or UnauthorizedAccessException)
        {
            LogUseUnknown(log, e.Message);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            ReconciliationLog.LogBug(log, e);
        }
    }

    /// <summary>What one container does to its judgement shields no other.</summary>
    async Task JudgeAsync(string id, IReadOnlyList<Excess> excesses, CancellationToken cancel)
    {
        try
        {
            await reconciler.ReconcileAsync(id, excesses, cancel);
            _unknown.TryRemove(id, out _);
        }
        catch (Exception e) when (e is EngineException or IOException or UnauthorizedAccessException)
        {
            LogSuspectUnknown(log, id, e.Message);
            // Who has no quota may be allowed to.
            if (
                _unknown.AddOrUpdate(id, 1, (_, looks) => looks + 1) >= MaxUnknownLooks
                && excesses.Any(excess => excess.Limit > 0)
            )
                await EndAsync(id, e.Message, cancel);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            ReconciliationLog.LogBug(log, e);
        }
    }

    async Task EndAsync(string id, string problem, CancellationToken cancel)
    {
        try
        {
            await reconciler.EndUnreadableAsync(id, problem, cancel);
        }
        catch (EngineException e)
        {
            LogSuspectUnknown(log, id, e.Message);
        }
    }

    Dictionary<string, IReadOnlyList<Excess>> Find(
        IReadOnlyList<(string Id, GpuMemoryQuota Quota)> held,
        IReadOnlyList<GpuProcess> running
    )
    {
        var found = new Dictionary<string, IReadOnlyList<Excess>>();
        var quotas = held.ToDictionary(holder => holder.Id, holder => holder.Quota);
        var uses = ContainerUse.ByContainer(running, processes.ContainersOf);
        // Who holds nothing may have a GPU all the same: open device files can be handed on from container to
        // container.
        foreach (var ofContainer in uses)
        {
            var mine = ofContainer.ToLookup(process => process.Uuid, process => process.Bytes);
            var quota = quotas.GetValueOrDefault(ofContainer.Key);
            Excess[] excesses =
            [
                .. from gpu in gpus.Devices
                let excess = new Excess(gpu, mine[gpu.Uuid].Sum(), quota?.Of(gpu.AllocatableBytes) ?? 0)
                where excess.Used > excess.Limit + ContainerUse.Tolerance
                select excess,
            ];
            if (excesses.Length > 0)
                found[ofContainer.Key] = excesses;
        }
        return found;
    }

    [LoggerMessage(
        513,
        LogLevel.Warning,
        "the GPU use of containers could not be compared with their quotas, the next reading follows: {Problem}"
    )]
    static partial void LogUseUnknown(ILogger logger, string problem);

    [LoggerMessage(
        515,
        LogLevel.Warning,
        "container={Container} has more of a GPU than it may, and could not be judged, the next reading "
            + "follows: {Problem}"
    )]
    static partial void LogSuspectUnknown(ILogger logger, string container, string problem);
}
