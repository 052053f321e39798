using System.Diagnostics;

namespace Runai.GpuMemory.Volumes;

/// <summary>Whether what is mounted here appears where the engine takes it from.</summary>
public interface IHostView
{
    bool Sees(string dirId);
    /// <summary>There is no way back for this process: it ends at once and without an answer, so that the engine starts it anew with its mounts in place, and asks again.</summary>
    void StartAnew();
}

/// <summary>The host's side of the propagated mount, by the mount tables of other processes. An engine that starts may take it away from under a plugin that it has just
/// started (seen on 28.5): what is mounted here then stays here, and containers would be given a plain empty folder.</summary>
public sealed class HostView(IMountTable mounts, PrivateDirectories directories, PluginIdentity identity, ILogger<HostView> log) : IHostView
{
    // A process of the engine's mount namespace, where it was found last.
    volatile int _seer;

    public bool Sees(string dirId)
    {
        // A plain socket: the engine's mounts are our own.
        if (identity.Id is null) return true;
        if (_seer is > 0 and var seer && mounts.OfProcess(seer).Any(mount => IsIt(mount, dirId))) return true;
        foreach (var (pid, table) in mounts.All())
        {
            if (pid == Environment.ProcessId || !table.Any(mount => IsIt(mount, dirId))) continue;
            _seer = pid;
            return true;
        }
        return false;
    }

    public void StartAnew()
    {
        log.HostLost();
        // The logger writes in the background.
        Thread.Sleep(200);
        using var me = Process.GetCurrentProcess();
        me.Kill();
    }

    bool IsIt(MountEntry mount, string dirId) => PrivateDirectories.IsHandedOut(mount, dirId) && directories.Find(mount) == dirId;
}
