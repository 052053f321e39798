// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The body of <c>POST /containers/{id}/exec</c>, as far as it matters.</summary>
sealed record ExecBody
{
    public bool Privileged { get; init; }
    public IReadOnlyList<string>? Env { get; init; }
}
