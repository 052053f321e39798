// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>Containers keep the shim that they were started with when the plugin is upgraded.</summary>
sealed class ShimCheck(RunningContainers running, ShimStore shims, StateLayout layout) : ICheck
{
    public IEnumerable<Problem> Find(EngineInfo? engine)
    {
        if (shims.ServedVersion is not { } served)
            yield break;
        // Those of one version are one file. It is read once a look: its number can be another file's at the next.
        var versions = new Dictionary<(uint, uint, ulong), string?>();
        foreach (var container in running.All.OrderBy(one => one.Name, StringComparer.Ordinal))
            if (
                container
                    .Directories.Select(dirId => VersionIn(dirId, versions))
                    .Any(one => one is not null && one != served)
            )
                yield return new(
                    "shim",
                    container.Name,
                    "it has the shim of another version of the plugin",
                    $"docker restart {container.Name}, when its work allows it"
                );
    }

    string? VersionIn(string dirId, Dictionary<(uint, uint, ulong), string?> versions)
    {
        var path = Path.Combine(layout.Directory(dirId), StateLayout.ShimName);
        if (Gpu.Statx.Identity(path) is not { } identity)
            return null;
        return versions.TryGetValue(identity, out var known) ? known : versions[identity] = ShimStore.VersionOf(path);
    }
}
