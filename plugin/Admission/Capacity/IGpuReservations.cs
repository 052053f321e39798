// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission.Capacity;

/// <summary>Who holds how much of which GPU. What runs is Docker's to say; in between stand starts that were allowed
/// and are not done yet.</summary>
interface IGpuReservations
{
    /// <summary>The engine says that it started a container, and when. It may have ended since.</summary>
    void Started(string id, DateTimeOffset at);

    /// <summary>A container runs, however it came to.</summary>
    void Running(ContainerInspect container, ContainerSpec spec, Verdict verdict);

    /// <summary>It does not run any more. One that the engine may be about to start again keeps what it holds for a
    /// while.</summary>
    /// <param name="id">The container.</param>
    /// <param name="restarts">Whether the engine is about to; null where it does not say: then by the restart policy
    /// with which it was started.</param>
    /// <param name="at">When. A late event says nothing about a run that began after it.</param>
    void Ended(string id, bool? restarts, DateTimeOffset at);

    /// <summary>Containers with a quota and a GPU, running or about to.</summary>
    IReadOnlyList<(string Id, GpuMemoryQuota Quota)> Reserved();

    /// <summary>All that run; the others hold nothing, except starts in flight. From the first time on, capacity is
    /// known.</summary>
    /// <param name="running">IDs.</param>
    /// <param name="asOf">A time stamp from before they were listed.</param>
    void KeepOnly(IReadOnlySet<string> running, long asOf);
}
