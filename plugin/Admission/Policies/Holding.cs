// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Policies;

/// <summary>What a container may use of one GPU.</summary>
/// <param name="Container">Its name.</param>
/// <param name="User">Who started it; empty for a caller on the unix socket.</param>
/// <param name="Quota">As written.</param>
/// <param name="Bytes">Of the GPU's allocatable memory.</param>
sealed record Holding(string Container, string User, string Quota, long Bytes);
