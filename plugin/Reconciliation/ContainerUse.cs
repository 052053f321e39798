// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>Whose processes those are that the driver lists: by their control groups.</summary>
static class ContainerUse
{
    /// <summary>The driver gives memory in blocks of this size, and counts a moment later than it gives: who has no
    /// more above a limit keeps it.</summary>
    public const long Tolerance = 2 << 20;

    /// <summary>By the ID of the container. A container within another counts for both.</summary>
    public static ILookup<string, GpuProcess> ByContainer(
        IEnumerable<GpuProcess> processes,
        Func<int, IReadOnlyList<string>> containersOf
    ) =>
        (from process in processes from id in containersOf(process.Pid) select (Id: id, Process: process)).ToLookup(
            use => use.Id,
            use => use.Process,
            StringComparer.Ordinal
        );
}
