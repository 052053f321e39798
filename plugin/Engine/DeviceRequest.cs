// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>What <c>--gpus</c> and <c>--device vendor/class=name</c> become.</summary>
sealed record DeviceRequest
{
    /// <summary><c>nvidia</c> or <c>cdi</c>. Empty: the engine chooses by <see cref="Capabilities"/>.</summary>
    public string? Driver { get; init; }

    /// <summary>-1 means all. Engines take any number of 64 bits.</summary>
    public long Count { get; init; }

    /// <summary>Indexes or UUIDs, or names of CDI devices. Empty: <see cref="Count"/> says how many.</summary>
    [JsonPropertyName("DeviceIDs")]
    public IReadOnlyList<string>? DeviceIds { get; init; }

    /// <summary>Alternatives; each lists capabilities that are needed together: <c>[["gpu","utility"]]</c>.</summary>
    public IReadOnlyList<IReadOnlyList<string>>? Capabilities { get; init; }

    /// <summary>Options of the driver; NVIDIA's has none.</summary>
    public IReadOnlyDictionary<string, string>? Options { get; init; }
}
