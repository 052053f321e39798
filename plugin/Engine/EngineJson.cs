using System.Text.Json;
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>What <c>GET /plugins/{name}/json</c> says.</summary>
sealed record PluginInspect
{
    public string? Name { get; init; }
    /// <summary>As they were set.</summary>
    public PluginMounts? Settings { get; init; }
    /// <summary>Of the plugin as it is installed, changed by what was set since.</summary>
    public PluginMounts? Config { get; init; }
}

sealed record PluginMounts
{
    public IReadOnlyList<PluginMount?>? Mounts { get; init; }
}

sealed record PluginMount(string? Name, string? Source);

/// <summary>What <c>GET /networks/{id}</c> says.</summary>
sealed record NetworkInspect
{
    public string? Name { get; init; }
}

/// <summary>What <c>GET /volumes/{name}</c> says.</summary>
sealed record VolumeInspect
{
    public string? Name { get; init; }
    public string? Driver { get; init; }
    public IReadOnlyDictionary<string, string>? Options { get; init; }
}

/// <summary>What <c>GET /volumes</c> says.</summary>
sealed record VolumeList
{
    public IReadOnlyList<VolumeInspect?>? Volumes { get; init; }
    /// <summary>Drivers that did not answer.</summary>
    public IReadOnlyList<string>? Warnings { get; init; }
}

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

[JsonSerializable(typeof(EngineInfo))]
[JsonSerializable(typeof(ContainerInspect))]
[JsonSerializable(typeof(ImageInspect))]
[JsonSerializable(typeof(EngineEvent))]
[JsonSerializable(typeof(PathStat))]
[JsonSerializable(typeof(PluginInspect))]
[JsonSerializable(typeof(NetworkInspect))]
[JsonSerializable(typeof(VolumeInspect))]
[JsonSerializable(typeof(VolumeList))]
[JsonSerializable(typeof(ExecInspect))]
[JsonSerializable(typeof(ContainerGlance))]
[JsonSerializable(typeof(ServiceInspect))]
[JsonSerializable(typeof(EngineError))]
sealed partial class EngineJson : JsonSerializerContext;
