// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>Of what <c>GET /containers/{id}/json</c> says, what no image and no label makes longer.</summary>
sealed record ContainerGlance
{
    /// <summary>All 64 digits; null if the engine does not say.</summary>
    public string? Id { get; init; }

    /// <summary>As <see cref="ContainerInspect.Created"/>; null if the engine does not say.</summary>
    public string? Created { get; init; }

    /// <summary>Null if the engine does not say, which counts as not running.</summary>
    public ContainerState? State { get; init; }

    /// <summary>As it was created: a namespace that it shares is <c>container:ID</c>.</summary>
    public HostConfig? HostConfig { get; init; }
}
