// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.Json.Serialization;

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

/// <summary>What <c>GET /services/{id}</c> says.</summary>
sealed record ServiceInspect
{
    /// <summary>Null if the engine does not say.</summary>
    public ObjectVersion? Version { get; init; }

    /// <summary>As the engine wrote it, to be judged like a body. Null, or a JSON null, before the first
    /// update.</summary>
    public JsonElement? PreviousSpec { get; init; }
}

/// <summary>Counts the changes of an object of the swarm.</summary>
sealed record ObjectVersion(ulong Index);

/// <summary>The body of every refusal.</summary>
sealed record EngineError
{
    /// <summary>For people; null if the answer is another object.</summary>
    [JsonPropertyName("message")]
    public string? Message { get; init; }
}

/// <summary>The records that the engine answers with.</summary>
[JsonSerializable(typeof(ContainerInspect))]
[JsonSerializable(typeof(ImageInspect))]
[JsonSerializable(typeof(EngineEvent))]
[JsonSerializable(typeof(ExecInspect))]
[JsonSerializable(typeof(ContainerGlance))]
[JsonSerializable(typeof(ServiceInspect))]
[JsonSerializable(typeof(EngineError))]
sealed partial class EngineJson : JsonSerializerContext;
