// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>One entry of <c>--mount</c>.</summary>
sealed record MountSpec
{
    /// <summary><c>bind</c>, <c>volume</c>, <c>tmpfs</c>, <c>npipe</c>, <c>cluster</c> or <c>image</c>.</summary>
    public string Type
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>A volume's name, or the path on the host of a bind. Empty: an anonymous volume.</summary>
    public string? Source { get; init; }

    /// <summary>The path in the container, as written: the engine cleans it.</summary>
    public string? Target { get; init; }

    /// <summary><c>readonly</c> or <c>ro</c>.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Null if only the volume's name is given.</summary>
    public VolumeOptions? VolumeOptions { get; init; }
}

/// <summary>Options of a <c>--mount type=volume</c>.</summary>
sealed record VolumeOptions
{
    /// <summary>API 1.45 and later; may name a file.</summary>
    public string? Subpath { get; init; }

    /// <summary><c>volume-driver</c> and <c>volume-opt</c>. They count only if the volume does not exist yet.</summary>
    public DriverConfig? DriverConfig { get; init; }
}

/// <summary>The driver that makes an inline volume, and its options.</summary>
sealed record DriverConfig
{
    /// <summary>Empty: the local driver.</summary>
    public string? Name { get; init; }

    /// <summary>As the driver reads them; for the local driver see <see cref="LocalVolume"/>.</summary>
    public IReadOnlyDictionary<string, string>? Options { get; init; }
}
