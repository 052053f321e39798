// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The body of <c>POST /containers/{id}/exec</c>, as far as it matters.</summary>
sealed record ExecBody
{
    /// <summary><c>docker exec --privileged</c>: all capabilities.</summary>
    public bool Privileged { get; init; }

    /// <summary><c>NAME=value</c>, added to the container's environment.</summary>
    public IReadOnlyList<string>? Env { get; init; }
}
