// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Policies;

/// <summary>What is wrong in a policy file, and where; in line 0 with the whole of it.</summary>
sealed record PolicyProblem(int Line, string Text)
{
    public override string ToString() => Line > 0 ? $"line {Line}: {Text}" : Text;
}
