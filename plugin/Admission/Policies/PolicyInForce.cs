// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Policies;

/// <summary>The policy in force, and what is wrong with the file on disk where that is another.</summary>
/// <param name="Settings">What counts.</param>
/// <param name="Since">When it came into force; null without a file.</param>
/// <param name="Refused">Why the file on disk does not count; empty where it does.</param>
sealed record PolicyInForce(PolicySettings Settings, DateTimeOffset? Since, IReadOnlyList<PolicyProblem> Refused);
