// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Status;

/// <summary>What the checks found that look at the host. They look only while the status is read, at most every
/// ten seconds, on a thread of their own: a disk that hangs keeps whoever reads it.</summary>
sealed partial class Checkup(IEngineClient engine, IEnumerable<ICheck> checks, TimeProvider time, ILogger<Checkup> log)
    : IProblemSource
{
    /// <summary>Who has mended something sees it that much later.</summary>
    public static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(10);

    /// <summary>A reader waits no longer than this for the checks.</summary>
    public static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(1);

    /// <summary>Of what one check finds.</summary>
    const int MaxOfOne = 100;

    readonly OnDemand<IReadOnlyList<Problem>> _shared = new(MaxAge, MaxWait, time);

    /// <summary>Checks whose failure is in the log, and the engine's client.</summary>
    readonly HashSet<Type> _failed = [];

    public IEnumerable<Problem> Find(IReadOnlyList<ContainerStatus> containers) => _shared.Last ?? [];

    /// <summary>Looks, unless the last look is young. Waits a second at most.</summary>
    public Task LookAsync(CancellationToken cancel) => _shared.MeasureAsync(() => Task.Run(FindAsync), cancel);

    async Task<IReadOnlyList<Problem>?> FindAsync()
    {
        var info = await AskEngineAsync();
        return await Task.Factory.StartNew<IReadOnlyList<Problem>>(
            () => [.. checks.SelectMany(check => Try(check, info))],
            CancellationToken.None,
            TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach,
            TaskScheduler.Default
        );
    }

    async Task<EngineInfo?> AskEngineAsync()
    {
        try
        {
            return await engine.InfoAsync(CancellationToken.None);
        }
        catch (Exception e)
        {
            if (e is not EngineException && _failed.Add(typeof(IEngineClient)))
                LogFailed(log, e);
            return null;
        }
    }

    /// <summary>What one check does hides nothing that another finds.</summary>
    IReadOnlyList<Problem> Try(ICheck check, EngineInfo? info)
    {
        try
        {
            return [.. check.Find(info).Take(MaxOfOne)];
        }
        catch (Exception e)
        {
            if (_failed.Add(check.GetType()))
                LogFailed(log, e);
            return [];
        }
    }

    [LoggerMessage(702, LogLevel.Error, "a check for the status failed, and the others go on")]
    static partial void LogFailed(ILogger logger, Exception e);
}
