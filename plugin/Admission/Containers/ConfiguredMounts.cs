// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>Sorts a container's mounts: those of our volumes, and the targets and host paths of all others.</summary>
/// <param name="volumes">Ours.</param>
/// <param name="elsewhere">Names of ours that the engine has for another driver, with that one.</param>
sealed class ConfiguredMounts(IVolumeCatalog volumes, IReadOnlyDictionary<string, string>? elsewhere = null)
{
    /// <summary>Where the documentation mounts the volume. Anything else there was probably meant to be the
    /// volume.</summary>
    public const string UsualTarget = "/runai";

    readonly List<Mistaken> _mistaken = [];
    readonly List<QuotaMount> _ours = [];
    readonly HashSet<string> _targets = new(StringComparer.Ordinal),
        _oursAt = new(StringComparer.Ordinal);
    readonly List<string> _hostPaths = [];

    /// <summary>Compose puts the project's name before a volume's.</summary>
    public static bool IsOfProject(string volume) =>
        volume.EndsWith("_" + VolumeCatalog.Everyone, StringComparison.Ordinal);

    /// <summary>One for each target: the first mount that was added for it.</summary>
    public IReadOnlyList<QuotaMount> Ours => _ours;

    /// <summary>Mounts where one of ours was meant.</summary>
    public IReadOnlyList<Mistaken> Mistaken => _mistaken;

    /// <summary>Clean absolute paths of all other mounts, tmpfs included.</summary>
    public IReadOnlyList<string> OtherTargets => [.. _targets];

    /// <summary>What of the host is mounted: sources of binds, devices of inline local volumes.</summary>
    public IReadOnlyList<string> HostPaths => _hostPaths;

    /// <summary>All that a configuration says. What is known of a target already stays: an inspected container's
    /// <c>Mounts</c> are the truth and come first.</summary>
    public void AddConfigured(HostConfig host)
    {
        foreach (var bind in host.Binds ?? [])
            AddBind(bind, host.VolumeDriver);
        foreach (var mount in host.Mounts ?? [])
            if (mount is not null)
                AddMount(mount);
        // Not among what the engine resolves, and it takes one for the target of a volume where that is spelled in
        // another way.
        foreach (var target in host.Tmpfs?.Keys ?? [])
            _targets.Add(UnixPath.Clean(target));
    }

    /// <summary>Where a configuration itself mounts something.</summary>
    public static IEnumerable<string> OwnTargets(HostConfig host) =>
        (host.Binds ?? [])
            .Select(TargetOf)
            .Concat((host.Mounts ?? []).Select(mount => mount?.Target ?? ""))
            .Select(UnixPath.Clean);

    static string TargetOf(string bind) => bind.Split(':') is [_, var target, ..] ? target : bind;

    /// <summary>Targets of anonymous volumes, which are certainly not ours. The engine leaves out those for which there
    /// is something else.</summary>
    public void AddOthers(IEnumerable<string>? targets)
    {
        foreach (var target in targets ?? [])
            AddOther(target);
    }

    /// <summary>One row of an inspected container's <c>Mounts</c>. The subpath stands only in the
    /// configuration.</summary>
    public void AddResolved(MountPoint mount, HostConfig host)
    {
        if (mount.Type == "bind" && mount.Source is { Length: > 0 } source)
            _hostPaths.Add(source);
        _hostPaths.AddRange(mount.HostPaths ?? []);
        if (!volumes.Owns(mount))
        {
            AddOther(
                mount.Destination,
                mount.Type == "volume" ? mount.Name : mount.Source,
                mount.Driver,
                isAsked: false
            );
            return;
        }
        var target = UnixPath.Clean(mount.Destination);
        var subpath = host
            .Mounts?.FirstOrDefault(m => m?.Target is { } t && UnixPath.Clean(t) == target)
            ?.VolumeOptions?.Subpath;
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
            AddOurs(source, UnixPath.Clean(target), null, null, parts.Length > 2 && parts[2].Split(',').Contains("ro"));
        else
            AddOther(target, source, driver);
    }

    void AddMount(MountSpec mount)
    {
        var driver = mount.VolumeOptions?.DriverConfig;
        if (mount.Type == "bind" && mount.Source is { } source)
            _hostPaths.Add(source);
        if (mount.Type == "volume" && driver?.Name is null or "" or LocalVolume.Driver)
            _hostPaths.AddRange(LocalVolume.HostPaths(driver?.Options));
        if (mount.Type == "volume" && mount.Source is { Length: > 0 } name && IsOurs(name, driver?.Name))
            AddOurs(
                name,
                UnixPath.Clean(mount.Target ?? ""),
                driver?.Options?.GetValueOrDefault(GpuMemoryQuota.Name),
                mount.VolumeOptions?.Subpath,
                mount.ReadOnly
            );
        else
            AddOther(mount.Target ?? "", mount.Source, driver?.Name);
    }

    bool IsOurs(string name, string? driver) =>
        string.IsNullOrEmpty(driver)
            ? (StatusVolume.IsReserved(name) || volumes.Find(name) is not null)
                && elsewhere?.ContainsKey(name) is not true
            : volumes.IsThisDriver(driver);

    void AddOurs(string name, string target, string? inlineOption, string? subpath, bool isReadOnly)
    {
        if (!_targets.Contains(target) && _oursAt.Add(target))
            _ours.Add(
                new(
                    name,
                    target,
                    volumes.Find(name) is { } volume ? volume.GpuMemory : inlineOption,
                    subpath ?? "",
                    isReadOnly
                )
                {
                    IsDamaged = volumes.Find(name) is { IsDamaged: true },
                }
            );
    }

    void AddOther(string target, string? source = null, string? driver = null, bool isAsked = true)
    {
        var path = UnixPath.Clean(target);
        if (IsKnown(path))
            return;
        _targets.Add(path);
        if (string.IsNullOrEmpty(source))
            return;
        var isNamesake = !source.StartsWith('/') && volumes.Find(source) is not null;
        if (isNamesake || path == UsualTarget || IsOfProject(source))
            _mistaken.Add(
                string.IsNullOrEmpty(driver)
                    ? new(source, elsewhere?.GetValueOrDefault(source), path, isNamesake)
                    : new(source, driver, path, isNamesake, isAsked)
            );
    }

    bool IsKnown(string target) => _targets.Contains(target) || _oursAt.Contains(target);
}
