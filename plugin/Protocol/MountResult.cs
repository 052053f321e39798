// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>The directory that the engine shall bind into the container, or why there is none.</summary>
sealed record MountResult(string? Mountpoint, string? Error)
{
    /// <summary>The path is the plugin's; the engine translates it into the host's.</summary>
    public static MountResult Mounted(string mountpoint) => new(mountpoint, null);

    /// <summary>The message goes to the user's terminal. The container does not start.</summary>
    public static MountResult Failed(string error) => new(null, error);
}
