// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Status;

/// <summary>Allocations that the shim refused, of one container on one GPU.</summary>
/// <param name="Count">How many.</param>
/// <param name="LastBytes">The size of the last one.</param>
/// <param name="LastTime">When that was, by the container's clock; null where it is no time.</param>
sealed record Refusals(long Count, long LastBytes, DateTimeOffset? LastTime);

/// <summary>Reads what shims wrote down about refused allocations.</summary>
interface IRefusals
{
    /// <summary>By the GPU's UUID; empty where nothing was refused. Never throws, and never waits.</summary>
    /// <returns>Null where the plugin does not see what the container sees there: a plugin that was disabled and
    /// enabled has other mounts than the containers that ran meanwhile.</returns>
    /// <param name="directory">A container's private directory.</param>
    IReadOnlyDictionary<string, Refusals>? Read(string directory);
}
