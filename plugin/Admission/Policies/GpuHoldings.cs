// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Policies;

/// <summary>What containers hold of each GPU, at one moment and without the one that is being judged.</summary>
sealed record GpuHoldings(IReadOnlyDictionary<string, IReadOnlyList<Holding>> ByUuid)
{
    /// <summary>No container holds any GPU memory.</summary>
    public static GpuHoldings None { get; } = new(new Dictionary<string, IReadOnlyList<Holding>>());

    /// <summary>Empty for a GPU that no container holds, or that is not known.</summary>
    public IReadOnlyList<Holding> Of(string uuid) => ByUuid.GetValueOrDefault(uuid) ?? [];

    /// <summary>What containers may use of it together. Where it is not counted, that may be more than can be
    /// written.</summary>
    public long BytesOn(Gpu.GpuDevice gpu) => (long)Math.Min(long.MaxValue, Of(gpu.Uuid).Sum(h => (decimal)h.Bytes));

    /// <summary>What is left of it for quotas.</summary>
    public long BytesFree(Gpu.GpuDevice gpu, decimal overcommit) =>
        (long)Math.Max(0, Math.Floor(gpu.AllocatableBytes * overcommit) - Of(gpu.Uuid).Sum(h => (decimal)h.Bytes));

    /// <summary>The same for one TLS name; the empty name stands for all callers on the unix socket.</summary>
    public IReadOnlyList<Holding> OfUser(string uuid, string user) => [.. Of(uuid).Where(h => h.User == user)];
}
