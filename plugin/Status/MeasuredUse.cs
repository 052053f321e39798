// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Status;

/// <summary>What a container has of a GPU.</summary>
/// <param name="Bytes">By the driver's count.</param>
/// <param name="Percent">Of its time; null where the driver does not say.</param>
readonly record struct ContainerShare(long Bytes, int? Percent);

/// <summary>What one measurement found.</summary>
/// <param name="Time">When it began.</param>
/// <param name="Gpus">What the driver said, by UUID. A GPU that did not answer is not in it.</param>
/// <param name="Shares">By container and GPU; who has nothing is not in it.</param>
/// <param name="Refusals">By container, then by GPU.</param>
sealed record MeasuredUse(
    DateTimeOffset Time,
    IReadOnlyDictionary<string, GpuReading> Gpus,
    IReadOnlyDictionary<(string Container, string Uuid), ContainerShare> Shares,
    IReadOnlyDictionary<string, IReadOnlyDictionary<string, Refusals>> Refusals
)
{
    /// <summary>Containers whose counts of refused calls the plugin cannot read.</summary>
    public IReadOnlySet<string> Unread { get; init; } = new HashSet<string>();

    /// <summary>A server of CUDA's Multi-Process Service that is in no container has something on a GPU.</summary>
    public bool IsMpsServed { get; init; }

    /// <summary>Null where the driver did not say, or the container began later.</summary>
    public ContainerShare? Of(string container, DateTimeOffset? startedAt, string uuid)
    {
        if (Shares.TryGetValue((container, uuid), out var share))
            return share;
        return startedAt > Time || Gpus.GetValueOrDefault(uuid) is not { Processes: not null } gpu
            ? null
            : new(0, gpu.Percents is null ? null : 0);
    }

    /// <summary>Null if the shim refused nothing, or its counts cannot be read.</summary>
    public Refusals? RefusedOf(string container, string uuid) =>
        Refusals.GetValueOrDefault(container)?.GetValueOrDefault(uuid);
}
