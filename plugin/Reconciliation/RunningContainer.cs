// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>A container that runs, as it was when it was last looked at.</summary>
/// <param name="Id">64 hexadecimal digits.</param>
/// <param name="Name">Without a slash, bounded.</param>
/// <param name="Pid">Its first process, in the host's namespace.</param>
/// <param name="StartedAt">By the engine's word; null where that is no time.</param>
/// <param name="Quota">Null: none.</param>
/// <param name="Gpus">Which GPUs it sees by its configuration; null: none.</param>
/// <param name="Directories">Its private directories.</param>
sealed record RunningContainer(
    string Id,
    string Name,
    int Pid,
    DateTimeOffset? StartedAt,
    GpuMemoryQuota? Quota,
    GpuSelection? Gpus,
    IReadOnlyList<string> Directories
)
{
    /// <summary>By its name in daemon.json: <c>runc</c>, <c>nvidia</c>.</summary>
    public string Runtime { get; init; } = "";

    /// <summary>See <see cref="ProgramsSeen.Unreached"/>; null also before its programs were looked at.</summary>
    public string? Unreached { get; init; }
}
