// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The body of <c>POST /services/create</c> and <c>/services/{id}/update</c>, as far as it matters.</summary>
sealed record ServiceBody
{
    /// <summary>What swarm calls the generic resources of a task. Where the toolkit's <c>swarm-resource</c> names such
    /// a variable, it takes the place of <c>NVIDIA_VISIBLE_DEVICES</c>.</summary>
    public const string SwarmResource = "DOCKER_RESOURCE_";

    /// <summary>The service's own, which none of its containers has.</summary>
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary>What each task runs; null if the body does not say.</summary>
    public TaskTemplate? TaskTemplate { get; init; }

    /// <summary>An older place for the tasks' networks.</summary>
    public IReadOnlyList<NetworkAttachment?>? Networks { get; init; }

    /// <summary>A quota that stands among the service's own labels, and not among its containers'; null without
    /// one.</summary>
    public string? MisplacedQuota =>
        Labels?.GetValueOrDefault(GpuMemoryQuota.Name) is { } quota
        && TaskTemplate?.ContainerSpec?.Labels?.GetValueOrDefault(GpuMemoryQuota.Name) != quota
            ? quota
            : null;

    /// <summary>What its tasks will ask for, as a create body would.</summary>
    public CreateBody ToCreateBody(bool onHostNetwork = false)
    {
        if (TaskTemplate?.ContainerSpec is not { } task)
            return new();
        return new()
        {
            IsOfService = true,
            Image = task.Image,
            Labels = task.Labels,
            Env = [.. task.Env ?? [], .. TaskTemplate.Resources?.Environment ?? []],
            HostConfig = new()
            {
                Mounts = task.Mounts?.Select(AsSwarmReads).ToArray(),
                ReadonlyRootfs = task.ReadOnly,
                CapAdd = task.CapabilityAdd,
                Tmpfs = FileTargets(task),
                SecurityOpt = task.Privileges?.ToSecurityOptions(),
                NetworkMode = onHostNetwork ? "host" : null,
            },
        };
    }

    /// <summary>Swarm takes a type in any case of Go's, and a mount without one for a bind. So what is certainly
    /// nothing else is one.</summary>
    static MountSpec AsSwarmReads(MountSpec? mount)
    {
        var type = mount?.Type?.ToLowerInvariant();
        return (mount ?? new()) with { Type = type is "volume" or "tmpfs" or "npipe" or "cluster" ? type : "bind" };
    }

    /// <summary>Configs and secrets are files that are mounted: they may cover nothing of the quota either. A name that
    /// is not absolute is below the root, or below /run/secrets.</summary>
    static Dictionary<string, string> FileTargets(TaskContainer task) =>
        (task.Configs ?? [])
            .Select(config => InFolder("/", config))
            .Concat((task.Secrets ?? []).Select(secret => InFolder("/run/secrets/", secret)))
            .OfType<string>()
            .Distinct()
            .ToDictionary(name => name, _ => "");

    static string? InFolder(string folder, FileReference? reference)
    {
        if (reference?.File?.Name is not { Length: > 0 } name)
            return null;
        return name.StartsWith('/') ? name : folder + name;
    }
}
