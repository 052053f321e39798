// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Protocol;

/// <summary>Every request of the volume protocol: each call fills the members that it needs.</summary>
sealed record VolumeRequest
{
    /// <summary>The volume; missing in calls about all volumes.</summary>
    public string? Name { get; init; }

    /// <summary>One activation of the volume; Mount and Unmount only.</summary>
    [JsonPropertyName("ID")]
    public string? Id { get; init; }

    /// <summary><c>docker volume create -o NAME=VALUE</c>. Create only; null without options.</summary>
    [JsonPropertyName("Opts")]
    public IReadOnlyDictionary<string, string>? Options { get; init; }
}
