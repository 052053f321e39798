// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Containers;

/// <summary>One reason of a refusal. <paramref name="Message"/> is whole sentences for the user's terminal, naming the
/// object and what to type instead.</summary>
/// <param name="Rule">A short stable name, e.g. <c>quota-syntax</c>; goes into the decision's log line.</param>
/// <param name="Message">What the user reads.</param>
sealed record Reason(string Rule, string Message);
