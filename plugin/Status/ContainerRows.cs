// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Reconciliation;

namespace Runai.GpuMemory.Status;

/// <summary>The status of the containers that run and have a quota or a GPU.</summary>
sealed class ContainerRows(RunningContainers running, OwnerStore owners, LostGpus lost)
{
    /// <summary>The states of a container, as docs/status.md describes them.</summary>
    public const string Lost = "no-gpu",
        Over = "over",
        Unlimited = "unlimited",
        Fine = "ok";

    /// <summary>A row for each container that has a quota, sees a GPU, or uses one.</summary>
    /// <param name="devices">The host's GPUs.</param>
    /// <param name="use">The last measurement; null before there is one.</param>
    /// <returns>By name.</returns>
    public IReadOnlyList<ContainerStatus> All(IReadOnlyList<GpuDevice> devices, MeasuredUse? use) =>
        [
            .. running
                .All.Select(container => Row(container, devices, use))
                .OfType<ContainerStatus>()
                .OrderBy(row => row.Name, StringComparer.Ordinal),
        ];

    ContainerStatus? Row(RunningContainer container, IReadOnlyList<GpuDevice> devices, MeasuredUse? use)
    {
        var visible = container.Gpus is { } selection ? VisibleGpus.Of(selection, devices) ?? devices : [];
        // Open device files can be handed on from container to container.
        var used = use is null
            ? []
            : devices.Where(gpu => !visible.Contains(gpu) && use.Shares.ContainsKey((container.Id, gpu.Uuid)));
        ContainerGpuStatus[] gpus = [.. visible.Concat(used).Select(gpu => Share(container, gpu, use))];
        return container.Quota is null && container.Gpus is null && gpus.Length == 0
            ? null
            : new(
                container.Id,
                container.Name,
                owners.Find(container.Id) is { Length: > 0 } user ? user : null,
                container.Quota?.Text,
                StateOf(container, gpus),
                container.StartedAt is { } at ? StatusContract.Text(at) : null,
                gpus
            );
    }

    string StateOf(RunningContainer container, IReadOnlyList<ContainerGpuStatus> gpus) =>
        lost.IsLost(container) ? Lost
        : gpus.Any(gpu => gpu.UsedBytes > gpu.LimitBytes + ContainerUse.Tolerance) ? Over
        : container.Quota is null ? Unlimited
        : Fine;

    static ContainerGpuStatus Share(RunningContainer container, GpuDevice gpu, MeasuredUse? use)
    {
        var share = use?.Of(container.Id, container.StartedAt, gpu.Uuid);
        var refused = use?.RefusedOf(container.Id, gpu.Uuid);
        return new(
            gpu.Uuid,
            gpu.Index,
            container.Quota?.Of(gpu.AllocatableBytes),
            share?.Bytes,
            share?.Percent,
            use?.Unread.Contains(container.Id) == true ? null : refused?.Count ?? 0,
            refused?.LastBytes,
            refused?.LastTime is { } at ? StatusContract.Text(at) : null
        );
    }
}
