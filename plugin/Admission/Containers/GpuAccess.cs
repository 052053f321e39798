// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Containers;

/// <summary>How a container gets a GPU.</summary>
/// <param name="Via">For people: <c>--gpus</c>, <c>device /dev/nvidia0</c>.</param>
/// <param name="Selection">Which GPUs.</param>
sealed record GpuAccess(string Via, GpuSelection Selection)
{
    /// <summary>What it gets of the driver.</summary>
    public DriverCapabilities Driver { get; init; } = DriverCapabilities.None;
}

/// <summary>Which GPUs a container will see, as far as its configuration says.</summary>
/// <param name="Ids">Indexes and UUIDs; empty with <paramref name="Count"/> or without knowledge.</param>
/// <param name="Count">The first so many; -1 all; 0 when not told by a count.</param>
sealed record GpuSelection(IReadOnlyList<string> Ids, long Count = 0)
{
    /// <summary>Every GPU of the host: <c>--gpus all</c>, <c>NVIDIA_VISIBLE_DEVICES=all</c>.</summary>
    public static GpuSelection All { get; } = new([], -1);

    /// <summary>Some of them; which is unknown.</summary>
    public static GpuSelection Unknown { get; } = new([]);

    const int MaxIds = 64,
        MaxIdLength = 128;

    /// <summary>To be kept: what names more GPUs than a host has, or longer names than they have, is not known, and so
    /// on all of them.</summary>
    public GpuSelection Bounded() => Ids.Count <= MaxIds && Ids.All(id => id.Length <= MaxIdLength) ? this : Unknown;
}
