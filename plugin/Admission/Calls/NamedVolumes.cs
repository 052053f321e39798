// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Looks at the volumes that a create body or a service names: one that exists is what it was made as,
/// whatever the body says of it, and the engine may fill it, or read it for a copy, before the container
/// starts.</summary>
sealed class NamedVolumes(IEngineClient engine, JudgedCalls judged)
{
    /// <summary>What of the host they show, see <see cref="LocalVolume.HostPaths"/>.</summary>
    /// <exception cref="EngineException">The engine does not say.</exception>
    public async ValueTask<IReadOnlyList<string>> FindHostPathsAsync(HostConfig? host, CancellationToken cancel)
    {
        var paths = new List<string>();
        foreach (var name in Names(host).Distinct(StringComparer.Ordinal))
        {
            using var place = judged.TryLook(Counted.Volume, name, out var busy) ?? throw new EngineException(busy);
            paths.AddRange(await engine.VolumeHostPathsAsync(name, cancel) ?? []);
        }
        return paths;
    }

    static IEnumerable<string> Names(HostConfig? host) =>
        (host?.Binds ?? [])
            .Where(bind => bind.Contains(':'))
            .Select(bind => bind.Split(':')[0])
            .Concat((host?.Mounts ?? []).Where(mount => mount?.Type == "volume").Select(mount => mount.Source ?? ""))
            .Where(name =>
                name is not ("" or "." or "..")
                && !LocalVolume.IsPath(name)
                && !name.Contains(LocalVolume.Template, StringComparison.Ordinal)
            );
}
