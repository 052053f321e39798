// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>What a task reserves. Of generic resources swarm tells it in its environment which ones it has; before it
/// runs they are unknown.</summary>
sealed record TaskResources
{
    /// <summary>Null if the task reserves nothing.</summary>
    public Reservations? Reservations { get; init; }

    /// <summary>The variables that swarm will set, with <c>some</c> in place of the resources.</summary>
    public IEnumerable<string> Environment =>
        from resource in Reservations?.GenericResources ?? []
        from spec in new[] { resource?.NamedResourceSpec, resource?.DiscreteResourceSpec }
        where spec is not null
        select $"{ServiceBody.SwarmResource}{spec.Kind?.ToUpperInvariant()}=some";
}

/// <summary>What a node must have for the task.</summary>
sealed record Reservations
{
    /// <summary><c>--generic-resource</c>.</summary>
    public IReadOnlyList<GenericResource?>? GenericResources { get; init; }
}

/// <summary>Some of a kind, by name or by number.</summary>
sealed record GenericResource
{
    /// <summary>One by its name; null for a number.</summary>
    public ResourceSpec? NamedResourceSpec { get; init; }

    /// <summary>A number of them; null for a name.</summary>
    public ResourceSpec? DiscreteResourceSpec { get; init; }
}

/// <summary>The kind of a resource, such as <c>NVIDIA-GPU</c>.</summary>
sealed record ResourceSpec(string? Kind);
