// SPDX-License-Identifier: Apache-2.0
using System.Threading.Channels;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Volumes;

/// <summary>Counts references per mount ID and makes, mounts and removes the directories accordingly. The counts say
/// what the engine asked; the mount tables of the processes say what is true, and have the last word before anything is
/// removed.</summary>
sealed partial class Activations(
    PrivateDirectories directories,
    ReferenceTable references,
    IMountTable mounts,
    IProcessCgroups processes,
    IHostView host,
    TimeProvider time,
    ILogger<Activations> log
) : IActivations
{
    // One lock for each group of directories, so that containers that start together do not wait for each other.
    readonly Lock[] _locks = [.. Enumerable.Range(0, 64).Select(_ => new Lock())];
    readonly Channel<bool> _idle = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite }
    );
    readonly string _boot = File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();

    /// <summary>Says when there may be something to collect.</summary>
    public ChannelReader<bool> Idle => _idle.Reader;

    /// <summary>Takes over what an earlier process left.</summary>
    public void Restore()
    {
        references.Load();
        foreach (var dirId in references.Directories)
        {
            if (references.Find(dirId) is not { } old || old.Boot == _boot)
                continue;
            directories.ForgetQuota(dirId);
            references.Set(dirId, old with { Count = 0, Boot = _boot, Container = null, Pid = 0 });
        }
    }

    /// <summary>Makes the directory of this ID, or uses it again, and counts a reference. On failure it counts
    /// none.</summary>
    public MountResult Mount(string volume, string mountId)
    {
        if (StateLayout.DirId(mountId) is not { } dirId)
            return MountResult.Failed("the mount's ID is empty or longer than 99 bytes");
        lock (LockOf(dirId))
        {
            var before = references.Find(dirId);
            try
            {
                references.Set(
                    dirId,
                    (before ?? new(mountId, volume, 0, _boot, default)) with
                    {
                        Count = (before?.Count ?? 0) + 1,
                        MountedAt = time.GetUtcNow(),
                    }
                );
                var path =
                    before is not null && directories.IsMounted(dirId)
                        ? directories.MountPath(dirId)
                        : directories.Make(dirId);
                if (!host.IsMountVisible(dirId))
                    return Lost(dirId, before);
                host.Settled();
                LogMounted(log, dirId, volume, (before?.Count ?? 0) + 1);
                return MountResult.Mounted(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                if (before is null)
                    references.Remove(dirId);
                else
                    references.Set(dirId, before);
                LogMountFailed(log, dirId, volume, e.Message);
                return MountResult.Failed($"volume {volume}: {e.Message}{DiskFull.Hint(e.Message)}");
            }
        }
    }

    /// <summary>Whether the container that has the directory of this activation runs.</summary>
    public bool IsInUse(string mountId) =>
        StateLayout.DirId(mountId) is { } dirId
        && references.Find(dirId) is { } reference
        && HasMounted(reference.Pid, dirId);

    MountResult Lost(string dirId, MountReference? before)
    {
        if (before is null)
            Remove(dirId);
        else
            references.Set(dirId, before);
        host.RestartProcess();
        return MountResult.Failed(
            "the engine does not see the plugin's mounts: as root, docker plugin disable -f the plugin and "
                + "enable it, then systemctl reload docker, or kill -HUP $(cat /run/docker.pid), and start the "
                + "container again"
        );
    }

    /// <summary>Takes one reference away. With the last one it takes the directory back from the engine, unless a
    /// process has it mounted. <see cref="CollectAsync"/> deletes it later.</summary>
    /// <returns>Null, or what went wrong.</returns>
    public string? Unmount(string mountId)
    {
        if (StateLayout.DirId(mountId) is not { } dirId)
            return null;
        lock (LockOf(dirId))
        {
            if (references.Find(dirId) is not { } reference)
                return null;
            var left = Math.Max(0, reference.Count - 1);
            LogUnmounted(log, dirId, left);
            try
            {
                if (left == 0 && HasMounted(reference.Pid, dirId))
                    LogStillMounted(log, dirId, reference.Pid);
                else if (left == 0)
                    directories.Detach(dirId);
                references.Set(dirId, reference with { Count = left });
                if (left == 0)
                    _idle.Writer.TryWrite(true);
                return null;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                LogRemovalFailed(log, dirId, e.Message);
                return $"volume {reference.Volume}: {e.Message}";
            }
        }
    }

    public bool Claim(string dirId, string container, int pid, Action? onClaimed = null)
    {
        lock (LockOf(dirId))
        {
            var reference =
                references.Find(dirId)
                ?? new(StateLayout.MountId(dirId), VolumeCatalog.Everyone, 1, _boot, time.GetUtcNow());
            var isKnown = reference.Container == container && reference.Pid == pid;
            if (reference.Container is not null && reference.Container != container && HasMounted(reference.Pid, dirId))
                return false;
            onClaimed?.Invoke();
            if (!isKnown)
                references.Set(dirId, reference with { Container = container, Pid = pid });
            return true;
        }
    }

    /// <summary>Removes the directories that no process has mounted, unless a reference came just now. Nothing is
    /// removed earlier: the engine leaves mounts of
    /// other activations below a container's own (<c>docker cp</c> up to 20.10), and to delete a directory takes away
    /// what is mounted on it.</summary>
    /// <param name="grace">How long a reference counts before a process must have it mounted.</param>
    /// <param name="runs">Whether the engine says that the container that has it runs. What the kernel shows of a
    /// container's mounts is not enough to take one's directory away.</param>
    /// <returns>Those removed.</returns>
    public async Task<IReadOnlyList<string>> CollectAsync(TimeSpan grace, Func<MountReference, Task<bool>> runs)
    {
        var candidates = directories.List().Union(references.Directories).Where(dirId => IsIdle(dirId, grace)).ToList();
        if (candidates.Count == 0)
            return [];
        var (inUse, unknown) = InUse();
        var removed = new List<string>();
        foreach (var dirId in candidates.Where(dirId => !inUse.Contains(dirId)))
        {
            var reference = references.Find(dirId);
            if (
                unknown.Count > 0 && (reference?.Container is not { } container || unknown.Contains(container))
                || reference is { Container: not null } && !references.IsSuperseded(reference) && await runs(reference)
            )
                LogKept(log, dirId, reference?.Container);
            else if (CollectOne(dirId, grace))
                removed.Add(dirId);
        }
        return removed;
    }

    bool CollectOne(string dirId, TimeSpan grace)
    {
        lock (LockOf(dirId))
        {
            // A mount may have come while the processes were searched.
            if (!IsIdle(dirId, grace))
                return false;
            try
            {
                Remove(dirId);
                LogCollected(log, dirId);
                return true;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                LogRemovalFailed(log, dirId, e.Message);
                return false;
            }
        }
    }

    /// <summary>Whether nothing is known that needs the directory: no reference, or one so old that a process should
    /// have it mounted, and the one we know of has not.</summary>
    bool IsIdle(string dirId, TimeSpan grace) =>
        references.Find(dirId) is not { } reference
        || (
            (reference.Count == 0 || time.GetUtcNow() - reference.MountedAt >= grace)
            && !HasMounted(reference.Pid, dirId)
        );

    void Remove(string dirId)
    {
        directories.Remove(dirId);
        references.Remove(dirId);
    }

    /// <summary>Whether the process has the directory mounted, or may have, because its mounts cannot be
    /// read.</summary>
    bool HasMounted(int pid, string dirId) =>
        pid > 0
        && mounts.OneByOne(pid).Any(mount => IsUse(mount, dirId) || ReferenceEquals(mount, MountEntry.Unreadable));

    /// <summary>All directories that some process of this host has mounted, other than where they are handed out; and
    /// the containers of which that is unknown.</summary>
    (HashSet<string> Directories, HashSet<string> Unknown) InUse()
    {
        var found = new HashSet<string>(StringComparer.Ordinal);
        var unknown = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (pid, table) in mounts.All())
        foreach (var mount in table)
            if (ReferenceEquals(mount, MountEntry.Unreadable))
                unknown.UnionWith(processes.ContainersOf(pid));
            else if (directories.Find(mount) is { } dirId && IsUse(mount, dirId))
                found.Add(dirId);
        return (found, unknown);
    }

    bool IsUse(MountEntry mount, string dirId) =>
        directories.Find(mount) == dirId && !PrivateDirectories.IsHandedOut(mount, dirId);

    Lock LockOf(string dirId) => _locks[(uint)dirId.GetHashCode(StringComparison.Ordinal) % _locks.Length];

    [LoggerMessage(201, LogLevel.Debug, "mounted directory={Directory} volume={Volume} references={References}")]
    static partial void LogMounted(ILogger logger, string directory, string volume, int references);

    [LoggerMessage(202, LogLevel.Debug, "unmounted directory={Directory} references={References}")]
    static partial void LogUnmounted(ILogger logger, string directory, int references);

    [LoggerMessage(203, LogLevel.Error, "mount failed directory={Directory} volume={Volume}: {Problem}")]
    static partial void LogMountFailed(ILogger logger, string directory, string volume, string problem);

    [LoggerMessage(204, LogLevel.Warning, "unmount kept directory={Directory}: process {Pid} still has it mounted")]
    static partial void LogStillMounted(ILogger logger, string directory, int pid);

    [LoggerMessage(205, LogLevel.Error, "directory={Directory} cannot be removed: {Problem}")]
    static partial void LogRemovalFailed(ILogger logger, string directory, string problem);

    [LoggerMessage(206, LogLevel.Debug, "collected directory={Directory}: no container mounts it")]
    static partial void LogCollected(ILogger logger, string directory);

    [LoggerMessage(
        215,
        LogLevel.Debug,
        "kept directory={Directory} container={Container}: no process is seen to have it mounted, but the "
            + "container runs, or its mounts cannot be read"
    )]
    static partial void LogKept(ILogger logger, string directory, string? container);
}
