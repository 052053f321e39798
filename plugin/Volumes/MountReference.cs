// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>Who has a private directory. On disk beside it, so that a plugin that is killed knows it again.</summary>
/// <param name="MountId">As the engine gave it.</param>
/// <param name="Volume">The volume that was mounted.</param>
/// <param name="Count">Mounts less Unmounts of this ID. Can be too high, never too low: an engine that was killed
/// mounts again what it had mounted.</param>
/// <param name="Boot">The kernel's boot ID then: after a reboot nothing of it is true.</param>
/// <param name="MountedAt">When the last reference came.</param>
sealed record MountReference(string MountId, string Volume, int Count, string Boot, DateTimeOffset MountedAt)
{
    /// <summary>The container that has it, once it is known; its process then.</summary>
    public string? Container { get; init; }

    /// <summary>The first process of <see cref="Container"/>, in the host's PID namespace; 0 if none is
    /// known.</summary>
    public int Pid { get; init; }
}
