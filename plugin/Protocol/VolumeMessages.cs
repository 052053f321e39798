// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Protocol;

/// <summary>Every request of the volume protocol: each call fills the members that it needs.</summary>
sealed record VolumeRequest
{
    public string? Name { get; init; }

    /// <summary>One activation of the volume; Mount and Unmount only.</summary>
    [JsonPropertyName("ID")]
    public string? Id { get; init; }

    [JsonPropertyName("Opts")]
    public IReadOnlyDictionary<string, string>? Options { get; init; }
}

/// <summary>Every answer of the volume protocol. A non-empty <paramref name="Err"/> is a failure.</summary>
sealed record VolumeAnswer(string Err = "")
{
    public string Err { get; init; } = Bounded.Text(Err);

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VolumeInfo? Volume { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<VolumeInfo>? Volumes { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Mountpoint { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VolumeCapabilities? Capabilities { get; init; }
}

/// <summary><c>local</c>: the volumes of one engine are no other's.</summary>
sealed record VolumeCapabilities(string Scope);

/// <summary>The records of the volume protocol.</summary>
[JsonSerializable(typeof(VolumeRequest))]
[JsonSerializable(typeof(VolumeAnswer))]
sealed partial class VolumeJson : JsonSerializerContext;
