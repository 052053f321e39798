// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Reconciliation;

namespace Runai.GpuMemory.Status;

/// <summary>The status of the host's GPUs.</summary>
static class GpuRows
{
    /// <summary>A row for each GPU, in the order of <paramref name="devices"/>.</summary>
    /// <param name="devices">The host's GPUs.</param>
    /// <param name="use">The last measurement; null before there is one.</param>
    /// <param name="holdings">What containers were promised; null while that is not known.</param>
    /// <param name="overcommit">By the policy; null where quotas are not counted.</param>
    /// <param name="containers">The rows of those that run.</param>
    public static IReadOnlyList<GpuStatus> All(
        IReadOnlyList<GpuDevice> devices,
        MeasuredUse? use,
        GpuHoldings? holdings,
        decimal? overcommit,
        IReadOnlyList<ContainerStatus> containers
    )
    {
        var counts = containers
            .SelectMany(container => container.Gpus)
            .CountBy(gpu => gpu.Uuid)
            .ToDictionary(StringComparer.Ordinal);
        return [.. devices.Select(gpu => Row(gpu, use, holdings, overcommit ?? 1, counts.GetValueOrDefault(gpu.Uuid)))];
    }

    static GpuStatus Row(GpuDevice gpu, MeasuredUse? use, GpuHoldings? holdings, decimal overcommit, int containers)
    {
        var promised = holdings?.BytesOn(gpu);
        var free = holdings?.BytesFree(gpu, overcommit);
        return new(
            gpu.Index,
            gpu.Uuid,
            gpu.Name,
            gpu.TotalBytes,
            gpu.AllocatableBytes,
            promised,
            use?.Gpus.GetValueOrDefault(gpu.Uuid)?.UsedBytes,
            free,
            containers,
            containers == 0 && promised is null or 0 ? "idle"
                : free < ContainerUse.Tolerance ? "full"
                : "shared"
        );
    }
}
