// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>A process has opened the shim.</summary>
/// <param name="Pid">The process.</param>
/// <param name="DirId">The private directory; null where the kernel does not say it.</param>
readonly record struct ShimOpening(int Pid, string? DirId);
