// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>What <c>docker volume inspect</c> shows of a volume of ours.</summary>
/// <param name="Name">The volume's name.</param>
/// <param name="Mountpoint">Below the propagated mount; empty where nothing stands for the volume as a whole, since
/// each activation has a directory of its own.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="Status">Shown as <c>Status</c>: a JSON object, see docs/status.md. Null in lists.</param>
sealed record VolumeInfo(string Name, string Mountpoint, DateTimeOffset CreatedAt, RawJson? Status = null);
