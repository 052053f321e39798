// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Volumes;

/// <summary>The host's side of the propagated mount, by the mount tables of other processes. An engine that starts may
/// take it away from under a plugin that it has just started (seen on 28.5): what is mounted here then stays here, and
/// containers would be given a plain empty folder.</summary>
sealed partial class HostView(
    StateLayout layout,
    IMountTable mounts,
    PrivateDirectories directories,
    PluginIdentity identity,
    TimeProvider time,
    ILogger<HostView> log,
    Action? end = null
) : IHostView
{
    static readonly TimeSpan RestartInterval = TimeSpan.FromSeconds(30);

    readonly string _stamp = Path.Combine(layout.State, "started-anew");
    volatile bool _isSettled;

    // A process of the engine's mount namespace, where it was found last.
    volatile int _seer;

    // A plain socket (no ID) is in the engine's namespace, and the engine's mounts are its own.
    public bool Propagates() =>
        identity.Id is null
        || (
            mounts.Own().LastOrDefault(mount => mount.Target == layout.State)?.PeerGroup is { } group
            && AnyProcessHas(mount => mount.PeerGroup == group)
        );

    public bool IsMountVisible(string dirId) =>
        identity.Id is null
        || AnyProcessHas(mount => PrivateDirectories.IsHandedOut(mount, dirId) && directories.Find(mount) == dirId);

    public void Settled()
    {
        if (_isSettled)
            return;
        File.Delete(_stamp);
        _isSettled = true;
    }

    public void RestartProcess()
    {
        if (time.GetUtcNow().UtcDateTime - File.GetLastWriteTimeUtc(_stamp) < RestartInterval)
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
#pragma warning disable RS0030 // The logger writes in the background, and this process ends.
        Thread.Sleep(100);
#pragma warning restore RS0030
        using var me = Process.GetCurrentProcess();
        me.Kill();
    }

    bool AnyProcessHas(Func<MountEntry, bool> isIt)
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
        "the engine has taken the plugin's propagated mount away: this process ends, and the engine restarts it"
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
