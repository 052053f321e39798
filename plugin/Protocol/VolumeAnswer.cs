// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Protocol;

/// <summary>Every answer of the volume protocol. A non-empty <paramref name="Err"/> is a failure.</summary>
sealed record VolumeAnswer(string Err = "")
{
    /// <summary>For the user's terminal, cut to <see cref="Bounded.MaxBytes"/>; empty for a success.</summary>
    public string Err { get; init; } = Bounded.Text(Err);

    /// <summary>Answers Get.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VolumeInfo? Volume { get; init; }

    /// <summary>Answers List.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<VolumeInfo>? Volumes { get; init; }

    /// <summary>Answers Mount and Path: a path as the plugin sees it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Mountpoint { get; init; }

    /// <summary>Answers Capabilities.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public VolumeCapabilities? Capabilities { get; init; }
}

/// <summary><c>local</c>: the volumes of one engine are no other's.</summary>
sealed record VolumeCapabilities(string Scope);
