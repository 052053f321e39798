// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Containers;

/// <summary>What the kernel and the driver say of a running container. A link in its image can lead a mount to another
/// place than the configuration says.</summary>
/// <param name="Targets">Of all mounts that are not ours, as its programs see them.</param>
/// <param name="Shadowings">Mounts on the private directory, and on what belongs to it.</param>
sealed record Observed(IReadOnlyList<string> Targets, IReadOnlyList<ShadowingMount> Shadowings)
{
    /// <summary>For a container that does not run yet, or was not looked at.</summary>
    public static Observed None { get; } = new([], []);

    /// <summary>It has more mounts than are read: what they cover is unknown.</summary>
    public bool IsCut { get; init; }

    /// <summary>Its mounts cannot be read, time and again, although it runs: whether it has its private directory is
    /// unknown.</summary>
    public bool IsUnreadable { get; init; }

    /// <summary>GPUs of which its processes have more than its quota, or than none.</summary>
    public IReadOnlyList<Excess> Excesses { get; init; } = [];

    /// <summary>What of the private directory its processes do not have, although it has the volume: words for people;
    /// null where they have it all.</summary>
    public string? Missing { get; init; }

    /// <summary>The file of a program of it that runs without the shim although it could load it; null where none was
    /// seen.</summary>
    public string? WithoutShim { get; init; }
}

/// <summary>Use of a GPU above the quota, in bytes. Who is not known to have a GPU has a limit of 0.</summary>
sealed record Excess(Gpu.GpuDevice Gpu, long Used, long Limit);

/// <summary>A mount at <paramref name="By"/> that hides what of ours is at <paramref name="Hidden"/>.</summary>
sealed record ShadowingMount(string Hidden, string By);
