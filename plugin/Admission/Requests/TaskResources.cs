// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>What a task reserves. Of generic resources swarm tells it in its environment which ones it has; before it
/// runs they are unknown.</summary>
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
