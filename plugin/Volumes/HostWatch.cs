// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Volumes;

/// <summary>Notices early that the engine has taken the propagated mount away, before a container is in need of it.
/// That happens within the first seconds of an engine.</summary>
sealed partial class HostWatch(IHostView host, TimeProvider time, ILogger<HostWatch> log) : BackgroundService
{
    static readonly TimeSpan StartupPeriod = TimeSpan.FromSeconds(15),
        Settling = TimeSpan.FromSeconds(2),
        FastInterval = TimeSpan.FromMilliseconds(250),
        SlowInterval = TimeSpan.FromSeconds(30);

    long _start;

    protected override Task ExecuteAsync(CancellationToken stoppingToken)
    {
        _start = time.GetTimestamp();
        return Loop.RunAsync(
            log,
            stoppingToken,
            LookAsync,
            cancel =>
                Task.Delay(time.GetElapsedTime(_start) < StartupPeriod ? FastInterval : SlowInterval, time, cancel)
        );
    }

    Task LookAsync(CancellationToken cancel)
    {
        try
        {
            if (!host.Propagates())
                host.RestartProcess();
            else if (time.GetElapsedTime(_start) >= Settling)
                host.Settled();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogWatchFailed(log, e.Message);
        }
        return Task.CompletedTask;
    }

    [LoggerMessage(210, LogLevel.Error, "the plugin's propagated mount cannot be watched: {Problem}")]
    static partial void LogWatchFailed(ILogger logger, string problem);
}
