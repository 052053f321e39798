// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Policies;

/// <summary>What a container may use of one GPU.</summary>
/// <param name="Container">Its name.</param>
/// <param name="User">Who started it; empty for somebody on the socket.</param>
/// <param name="Quota">As written.</param>
/// <param name="Bytes">Of the GPU's allocatable memory.</param>
sealed record Holding(string Container, string User, string Quota, long Bytes);

/// <summary>What containers hold of each GPU, at one moment and without the one that is being judged.</summary>
sealed record GpuHoldings(IReadOnlyDictionary<string, IReadOnlyList<Holding>> ByUuid)
{
    public static GpuHoldings None { get; } = new(new Dictionary<string, IReadOnlyList<Holding>>());

    public IReadOnlyList<Holding> Of(string uuid) => ByUuid.GetValueOrDefault(uuid) ?? [];

    public IReadOnlyList<Holding> OfUser(string uuid, string user) => [.. Of(uuid).Where(h => h.User == user)];
}
