// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Admission.Starts;

/// <summary>A container that is about to run.</summary>
/// <param name="Id">Its ID.</param>
/// <param name="Name">With the leading slash that the engine writes.</param>
/// <param name="Verdict">That of its start.</param>
sealed record AllowedStart(string Id, string Name, Verdict Verdict);
