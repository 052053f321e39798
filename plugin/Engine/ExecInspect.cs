// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>Of what <c>GET /exec/{id}/json</c> says, what is judged. Its environment is not there: an exec that leaves
/// the shim out is refused when it is made, whoever makes it.</summary>
sealed record ExecInspect
{
    /// <summary>The whole ID of the container that it runs in; null if the engine does not say.</summary>
    [JsonPropertyName("ContainerID")]
    public string? ContainerId { get; init; }

    /// <summary>Null if the engine does not say.</summary>
    public ExecProcess? ProcessConfig { get; init; }
}

/// <summary>What an exec runs.</summary>
/// <param name="Privileged">All capabilities; null where the engine does not say.</param>
sealed record ExecProcess([property: JsonPropertyName("privileged")] bool? Privileged);
