// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>A call whose body cannot be judged.</summary>
static class UnreadableBody
{
    /// <summary>Refuses by the rule <c>WHAT-body</c>, in audit mode too.</summary>
    public static Verdict Refuse(string what, string problem) =>
        Verdict.Refused($"{what}-body", Message(what, problem));

    /// <summary>The text of the refusal. <paramref name="what"/> is the call in one word: <c>exec</c>,
    /// <c>volume</c>.</summary>
    public static string Message(string what, string problem) =>
        $"the body of this {what} call is ambiguous, so it is refused: {problem}";
}
