// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Admission;

/// <summary>What a gate would answer, found without effect.</summary>
/// <param name="Spec">Null where the call could not be read.</param>
/// <param name="Verdict">The decision.</param>
/// <param name="Holdings">What other containers hold of the GPUs; null while that is not known.</param>
sealed record Evaluation(ContainerSpec? Spec, Verdict Verdict, GpuHoldings? Holdings);
