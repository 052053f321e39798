using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission;

/// <summary>Sorts a container's mounts: those of our volumes, and the targets and host paths of all others.</summary>
sealed class MountTable(IVolumeCatalog volumes)
{
    readonly List<QuotaMount> _ours = [];
    readonly HashSet<string> _targets = new(StringComparer.Ordinal);
    readonly List<string> _hostPaths = [];

    public IReadOnlyList<QuotaMount> Ours => _ours;
    public IReadOnlyList<string> OtherTargets => [.. _targets];
    /// <summary>What of the host is mounted: sources of binds, devices of inline local volumes.</summary>
    public IReadOnlyList<string> HostPaths => _hostPaths;

    /// <summary>All that a configuration says. What is known of a target already stays: an inspected container's <c>Mounts</c> are the truth and come first.</summary>
    public void AddConfigured(HostConfig host)
    {
        foreach (var bind in host.Binds ?? [])
            AddBind(bind, host.VolumeDriver);
        foreach (var mount in host.Mounts ?? [])
            if (mount is not null)
                AddMount(mount);
        // Not among what the engine resolves, and it takes one for the target of a volume where that is spelled in another way.
        foreach (var target in host.Tmpfs?.Keys ?? [])
            _targets.Add(ContainerPath.Clean(target));
    }

    /// <summary>Where a configuration itself mounts something.</summary>
    public static IEnumerable<string> OwnTargets(HostConfig host) =>
        (host.Binds ?? []).Select(TargetOf).Concat((host.Mounts ?? []).Select(mount => mount?.Target ?? "")).Select(ContainerPath.Clean);

    static string TargetOf(string bind) => bind.Split(':') is [_, var target, ..] ? target : bind;

    /// <summary>Targets of anonymous volumes, which are certainly not ours. The engine leaves out those for which there is something else.</summary>
    public void AddOthers(IEnumerable<string>? targets)
    {
        foreach (var target in targets ?? [])
            AddOther(target);
    }

    /// <summary>One row of an inspected container's <c>Mounts</c>. The subpath stands only in the configuration.</summary>
    public void AddResolved(MountPoint mount, HostConfig host)
    {
        if (mount.Type == "bind" && mount.Source is { Length: > 0 } source)
            _hostPaths.Add(source);
        _hostPaths.AddRange(mount.HostPaths ?? []);
        if (!volumes.Owns(mount))
        {
            AddOther(mount.Destination);
            return;
        }
        var target = ContainerPath.Clean(mount.Destination);
        var subpath = host.Mounts?.FirstOrDefault(m => m?.Target is { } t && ContainerPath.Clean(t) == target)?.VolumeOptions?.Subpath;
        AddOurs(mount.Name ?? "", target, null, subpath, !mount.Rw);
    }

    /// <summary><c>source:target[:mode]</c>, or just a target.</summary>
    void AddBind(string bind, string? driver)
    {
        var parts = bind.Split(':');
        var (source, target) = parts.Length == 1 ? ("", parts[0]) : (parts[0], parts[1]);
        if (source.StartsWith('/'))
            _hostPaths.Add(source);
        if (source.Length > 0 && !source.StartsWith('/') && IsOurs(source, driver))
            AddOurs(source, ContainerPath.Clean(target), null, null, parts.Length > 2 && parts[2].Split(',').Contains("ro"));
        else
            AddOther(target);
    }

    void AddMount(MountSpec mount)
    {
        var driver = mount.VolumeOptions?.DriverConfig;
        if (mount.Type == "bind" && mount.Source is { } source)
            _hostPaths.Add(source);
        if (mount.Type == "volume" && driver?.Name is null or "" or LocalVolume.Driver)
            _hostPaths.AddRange(LocalVolume.HostPaths(driver?.Options));
        if (mount.Type == "volume" && mount.Source is { Length: > 0 } name && IsOurs(name, driver?.Name))
            AddOurs(name, ContainerPath.Clean(mount.Target ?? ""), driver?.Options?.GetValueOrDefault(GpuMemoryQuota.Name), mount.VolumeOptions?.Subpath, mount.ReadOnly);
        else
            AddOther(mount.Target ?? "");
    }

    bool IsOurs(string name, string? driver) => string.IsNullOrEmpty(driver) ? volumes.Find(name) is not null : volumes.IsThisDriver(driver);

    void AddOurs(string name, string target, string? inlineOption, string? subpath, bool isReadOnly)
    {
        if (!IsKnown(target))
            _ours.Add(new(name, target, volumes.Find(name) is { } volume ? volume.GpuMemory : inlineOption, subpath ?? "", isReadOnly));
    }

    void AddOther(string target)
    {
        var path = ContainerPath.Clean(target);
        if (!IsKnown(path))
            _targets.Add(path);
    }

    bool IsKnown(string target) => _targets.Contains(target) || _ours.Exists(m => m.Target == target);
}
