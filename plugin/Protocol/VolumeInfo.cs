// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>What <c>docker volume inspect</c> shows of a volume of ours.</summary>
/// <param name="Name">The volume's name.</param>
/// <param name="Mountpoint">Below the propagated mount; empty where nothing stands for the volume as a whole, since
/// each activation has a directory of its own.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="Status">Shown as <c>Status</c>: <c>Version</c> of the plugin, <c>gpu-memory</c> where the volume has
/// it, and <c>Problem</c> where it is damaged.</param>
sealed record VolumeInfo(
    string Name,
    string Mountpoint,
    DateTimeOffset CreatedAt,
    IReadOnlyDictionary<string, string> Status
);
