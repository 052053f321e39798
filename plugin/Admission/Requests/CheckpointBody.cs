// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The body of <c>POST /containers/{id}/checkpoints</c>, as far as it matters.</summary>
sealed record CheckpointBody
{
    /// <summary>On the host; empty: the engine's own.</summary>
    public string? CheckpointDir { get; init; }
}
