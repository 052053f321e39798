// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>Keeps containers with a volume of ours from starting where nothing would enforce their limit.</summary>
interface IMountGuard
{
    /// <summary>Null, or why nothing is mounted now, for the user's terminal. Null as well while an engine boots: a
    /// failed mount is final for a container that comes back by its restart policy.</summary>
    Task<string?> RefusalAsync(CancellationToken cancel);
}
