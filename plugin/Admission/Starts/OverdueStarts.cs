// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Admission.Starts;

/// <summary>Starts without an answer hold what they were promised of a GPU for as long as they are under way, which may
/// be long: a log driver that waits for its server, for one. Whether one still is, the engine shows: while it starts a
/// container, it does not describe it. What it describes as not running is no start any more, or one that waits
/// elsewhere and is judged again if it comes.</summary>
sealed partial class OverdueStarts(
    IEngineClient engine,
    GpuReservations reservations,
    StartCalls starts,
    TimeProvider time,
    ILogger<OverdueStarts> log
) : BackgroundService
{
    static readonly TimeSpan Every = TimeSpan.FromSeconds(15);

    readonly HashSet<string> _waiting = [];

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Loop.EveryAsync(Every, time, LookAsync, log, stoppingToken);

    internal async Task LookAsync(CancellationToken cancel)
    {
        var overdue = reservations.Overdue();
        await Parallel.ForEachAsync(
            overdue,
            new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = cancel },
            LookAtAsync
        );
        lock (_waiting)
            _waiting.IntersectWith(overdue.Select(one => one.Id));
    }

    async ValueTask LookAtAsync((string Id, string Name) start, CancellationToken cancel)
    {
        try
        {
            if ((await engine.InspectContainerAsync(start.Id, cancel))?.State is { Running: true })
                return;
            // first: who comes to run from here on is judged again
            starts.Lapse(start.Id, time.GetUtcNow() - GpuReservations.StartTimeout);
            reservations.GiveUp(start.Id);
            LogGivenUp(log, start.Id, start.Name);
        }
        catch (EngineException)
        {
            lock (_waiting)
                if (!_waiting.Add(start.Id))
                    return;
            LogWaits(log, start.Id, start.Name);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // The next look comes.
            LogBug(log, e);
        }
    }

    [LoggerMessage(
        630,
        LogLevel.Warning,
        "the start of container={Container} name={Name} is under way for more than a minute, and keeps its "
            + "share of the GPUs"
    )]
    static partial void LogWaits(ILogger logger, string container, string name);

    [LoggerMessage(
        631,
        LogLevel.Warning,
        "container={Container} name={Name} was to start more than a minute ago and does not run: its share "
            + "of the GPUs is free again, and if it still starts it is checked again"
    )]
    static partial void LogGivenUp(ILogger logger, string container, string name);

    [LoggerMessage(632, LogLevel.Error, "a bug, please report it")]
    static partial void LogBug(ILogger logger, Exception e);
}
