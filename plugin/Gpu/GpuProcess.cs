// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>What a process has on a GPU by the driver's count.</summary>
/// <param name="Pid">In the host's PID namespace.</param>
/// <param name="Uuid">The GPU.</param>
/// <param name="Bytes">Of its memory.</param>
sealed record GpuProcess(int Pid, string Uuid, long Bytes);
