// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>One mount of the container as the engine resolved it.</summary>
sealed record MountPoint
{
    /// <summary><c>bind</c>, <c>volume</c>, <c>tmpfs</c>…</summary>
    public string Type
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>The volume's name; empty for every other type.</summary>
    public string? Name { get; init; }

    /// <summary>The volume's driver: <c>local</c>, or a plugin with its tag.</summary>
    public string? Driver { get; init; }

    /// <summary>Of a bind, the path on the host. For plugin volumes it is unreliable (seen on 20.10 and 28.5: the
    /// previous container's), hence not read.</summary>
    public string? Source { get; init; }

    /// <summary>The path in the container, absolute and clean.</summary>
    public string Destination
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>True where the engine does not say: generated readers keep the value of a <c>set</c>
    /// property.</summary>
    [JsonPropertyName("RW")]
    public bool Rw { get; set; } = true;

    /// <summary>Of a volume of the local driver, what it shows of the host. Stands in the volume, not in the container;
    /// the client adds it.</summary>
    [JsonIgnore]
    public IReadOnlyList<string>? HostPaths { get; init; }
}
