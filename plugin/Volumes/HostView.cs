using System.Diagnostics;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Volumes;

/// <summary>Whether what is mounted here appears where the engine takes it from.</summary>
public interface IHostView
{
    /// <summary>Whether mounts below the state propagate to the engine.</summary>
    bool Propagates();

    /// <summary>Whether this mount did.</summary>
    bool IsMountVisible(string dirId);

    /// <summary>There is no way back for this process: it ends at once, so that the engine restarts it with its mounts
    /// in place. Not twice in a short time, unless it was <see cref="Settled"/> in between: an
    /// engine gives up a plugin that ends again and again before its socket is found.</summary>
    void RestartProcess();

    /// <summary>This process has been connected for a while, or has served a mount. If its mounts are taken away after
    /// this, another engine did it.</summary>
    void Settled();
}

/// <summary>The host's side of the propagated mount, by the mount tables of other processes. An engine that starts may
/// take it away from under a plugin that it has just
/// started (seen on 28.5): what is mounted here then stays here, and containers would be given a plain empty
/// folder.</summary>
public sealed partial class HostView(
    StateLayout layout,
    IMountTable mounts,
    PrivateDirectories directories,
    PluginIdentity identity,
    TimeProvider time,
    ILogger<HostView> log,
    Action? end = null
) : IHostView
{
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    readonly string _stamp = Path.Combine(layout.State, "started-anew");
    volatile bool _isSettled;

    // A process of the engine's mount namespace, where it was found last.
    volatile int _seer;

    // A plain socket (no ID) is in the engine's namespace, and the engine's mounts are its own.
    public bool Propagates() =>
        identity.Id is null
        || (
            mounts.Own().LastOrDefault(mount => mount.Target == layout.State)?.PeerGroup is { } group
            && SomebodyHas(mount => mount.PeerGroup == group)
        );

    public bool IsMountVisible(string dirId) =>
        identity.Id is null
        || SomebodyHas(mount => PrivateDirectories.IsHandedOut(mount, dirId) && directories.Find(mount) == dirId);

    public void Settled()
    {
        if (_isSettled)
            return;
        File.Delete(_stamp);
        _isSettled = true;
    }

    public void RestartProcess()
    {
        if (time.GetUtcNow() - File.GetLastWriteTimeUtc(_stamp) < Patience)
        {
            LogHostStillLost(log);
            return;
        }
        AtomicFile.Write(_stamp, [], FileModes.Owner, isLasting: false);
        LogHostLost(log);
        (end ?? EndProcess)();
    }

    static void EndProcess()
    {
        // The logger writes in the background.
        Thread.Sleep(100);
        using var me = Process.GetCurrentProcess();
        me.Kill();
    }

    bool SomebodyHas(Func<MountEntry, bool> isIt)
    {
        if (_seer is > 0 and var seer && mounts.OneByOne(seer).Any(isIt))
            return true;
        foreach (var (pid, table) in mounts.All())
        {
            if (pid == Environment.ProcessId || !table.Any(isIt))
                continue;
            _seer = pid;
            return true;
        }
        return false;
    }

    [LoggerMessage(
        208,
        LogLevel.Critical,
        "the engine has taken the plugin's propagated mount away: this process ends, and the engine starts it anew"
    )]
    static partial void LogHostLost(ILogger logger);

    [LoggerMessage(
        209,
        LogLevel.Error,
        "the engine does not see the plugin's propagated mount, also after a new start: containers with a "
            + "volume of the plugin will not start"
    )]
    static partial void LogHostStillLost(ILogger logger);
}

/// <summary>Notices early that the engine has taken the propagated mount away, before a container is in need of it.
/// That happens within the first seconds of an engine.</summary>
public sealed partial class HostWatch(IHostView host, TimeProvider time, ILogger<HostWatch> log) : BackgroundService
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
