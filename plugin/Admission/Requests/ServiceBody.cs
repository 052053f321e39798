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
    public CreateBody ToCreateBody(bool onHostNetwork = false) =>
        TaskTemplate?.ContainerSpec is not { } task
            ? new()
            : new()
            {
                IsOfService = true,
                Image = task.Image,
                Labels = task.Labels,
                Env = [.. task.Env ?? [], .. TaskTemplate.Resources?.Environment ?? []],
                HostConfig = new()
                {
                    Mounts = task.Mounts is { } mounts ? [.. mounts.Select(AsSwarmReads)] : null,
                    ReadonlyRootfs = task.ReadOnly,
                    CapAdd = task.CapabilityAdd,
                    Tmpfs = FileTargets(task),
                    SecurityOpt = task.Privileges?.ToSecurityOptions(),
                    NetworkMode = onHostNetwork ? "host" : null,
                },
            };

    /// <summary>Swarm takes a type in any case of Go's, and a mount without one for a bind. So what is certainly
    /// nothing else is one.</summary>
    static MountSpec AsSwarmReads(MountSpec? mount) =>
        (mount ?? new()) with
        {
            Type = mount?.Type?.ToLowerInvariant() is ("volume" or "tmpfs" or "npipe" or "cluster") and var type
                ? type
                : "bind",
        };

    /// <summary>Configs and secrets are files that are mounted: they may lie in nobody's way either. A name that is not
    /// absolute is below the root, or below /run/secrets.</summary>
    static Dictionary<string, string> FileTargets(TaskContainer task) =>
        (task.Configs ?? [])
            .Select(config => InFolder("/", config))
            .Concat((task.Secrets ?? []).Select(secret => InFolder("/run/secrets/", secret)))
            .OfType<string>()
            .Distinct()
            .ToDictionary(name => name, _ => "");

    static string? InFolder(string folder, FileReference? reference) =>
        reference?.File?.Name is not { Length: > 0 } name ? null
        : name.StartsWith('/') ? name
        : folder + name;
}

/// <summary>What each task of a service runs: a container, or a plugin.</summary>
sealed record TaskTemplate
{
    /// <summary>Null if the tasks are not containers.</summary>
    public TaskContainer? ContainerSpec { get; init; }

    /// <summary>Installs a plugin on every node.</summary>
    public NoMembers? PluginSpec { get; init; }

    /// <summary>Networks that the tasks join.</summary>
    public IReadOnlyList<NetworkAttachment?>? Networks { get; init; }
    public TaskResources? Resources { get; init; }
}

/// <summary>What a task reserves. Of generic resources swarm tells it in its environment which ones it has; before it
/// runs nobody knows.</summary>
sealed record TaskResources
{
    public Reservations? Reservations { get; init; }

    public IEnumerable<string> Environment =>
        from resource in Reservations?.GenericResources ?? []
        from spec in new[] { resource?.NamedResourceSpec, resource?.DiscreteResourceSpec }
        where spec is not null
        select $"{ServiceBody.SwarmResource}{spec.Kind?.ToUpperInvariant()}=some";
}

sealed record Reservations
{
    public IReadOnlyList<GenericResource?>? GenericResources { get; init; }
}

/// <summary>Some of a kind, by name or by number.</summary>
sealed record GenericResource
{
    public ResourceSpec? NamedResourceSpec { get; init; }
    public ResourceSpec? DiscreteResourceSpec { get; init; }
}

sealed record ResourceSpec(string? Kind);

/// <summary>A network that the tasks join.</summary>
sealed record NetworkAttachment
{
    /// <summary>A name or an ID.</summary>
    public string? Target { get; init; }
}

sealed record TaskContainer
{
    public string? Image { get; init; }
    public IReadOnlyDictionary<string, string>? Labels { get; init; }
    public IReadOnlyList<string>? Env { get; init; }
    public IReadOnlyList<MountSpec?>? Mounts { get; init; }
    public bool ReadOnly { get; init; }
    public IReadOnlyList<string>? CapabilityAdd { get; init; }
    public TaskPrivileges? Privileges { get; init; }
    public IReadOnlyList<FileReference?>? Configs { get; init; }
    public IReadOnlyList<FileReference?>? Secrets { get; init; }
}

/// <summary>What <c>--security-opt</c> is to a container.</summary>
sealed record TaskPrivileges
{
    public ProfileChoice? Seccomp { get; init; }
    public ProfileChoice? AppArmor { get; init; }
    public SeLinuxContext? SELinuxContext { get; init; }

    public List<string> ToSecurityOptions()
    {
        var options = new List<string>();
        if (Seccomp?.Mode is { Length: > 0 } and not "default")
            options.Add($"seccomp={Seccomp.Mode}");
        if (AppArmor?.Mode is { Length: > 0 } and not "default")
            options.Add($"apparmor={AppArmor.Mode}");
        if (SELinuxContext is { Disable: true })
            options.Add("label=disable");
        if (SELinuxContext?.Type is { Length: > 0 } type)
            options.Add($"label=type:{type}");
        return options;
    }
}

/// <summary><c>default</c>, or <c>unconfined</c>, <c>custom</c>, <c>disabled</c>.</summary>
sealed record ProfileChoice(string? Mode);

sealed record SeLinuxContext(bool Disable, string? Type);

/// <summary>A config or secret that a service uses.</summary>
sealed record FileReference
{
    public FileTarget? File { get; init; }
}

sealed record FileTarget
{
    /// <summary>Its path in the container.</summary>
    public string? Name { get; init; }
}
