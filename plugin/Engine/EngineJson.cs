// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>Of what <c>GET /containers/{id}/json</c> says, what no image and no label makes longer.</summary>
sealed record ContainerGlance
{
    public string? Id { get; init; }
    public string? Created { get; init; }
    public ContainerState? State { get; init; }
    public HostConfig? HostConfig { get; init; }
}

/// <summary>What <c>GET /services/{id}</c> says.</summary>
sealed record ServiceInspect
{
    public ObjectVersion? Version { get; init; }
    public JsonElement? PreviousSpec { get; init; }
}

/// <summary>Counts the changes of an object of the swarm.</summary>
sealed record ObjectVersion(ulong Index);

/// <summary>The body of every refusal.</summary>
sealed record EngineError
{
    [JsonPropertyName("message")]
    public string? Message { get; init; }
}

/// <summary>The records that the engine answers with.</summary>
[JsonSerializable(typeof(EngineInfo))]
[JsonSerializable(typeof(ContainerInspect))]
[JsonSerializable(typeof(ImageInspect))]
[JsonSerializable(typeof(EngineEvent))]
[JsonSerializable(typeof(ExecInspect))]
[JsonSerializable(typeof(ContainerGlance))]
[JsonSerializable(typeof(ServiceInspect))]
[JsonSerializable(typeof(EngineError))]
sealed partial class EngineJson : JsonSerializerContext;
