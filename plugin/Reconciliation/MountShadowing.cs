// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>Finds in a process's mounts what hides our directories from its programs. They would read another quota,
/// another shim or another ledger then.</summary>
static class MountShadowing
{
    /// <summary>Below a private directory, where its ledger is mounted.</summary>
    public const string Usage = "/usage";

    /// <summary>Lists all other mounts, and those among them that hide ours. <see cref="Observed.None"/> where the
    /// container has none of ours.</summary>
    /// <param name="mounts">Of one process.</param>
    /// <param name="ours">Those of private directories that the process's container has by its own mounts.</param>
    public static Observed Observe(IReadOnlyList<MountEntry> mounts, IReadOnlyList<MountEntry> ours)
    {
        if (ours.Count == 0)
            return Observed.None;
        var parents = mounts.DistinctBy(mount => mount.Id).ToDictionary(mount => mount.Id, mount => mount.Parent);
        var coverings =
            from our in ours
            from other in mounts
            where !IsSame(other, our) && (Hides(other, our, parents) || IsBelow(other, our, ours))
            select new ShadowingMount(our.Target, other.Target);
        return new(
            [.. mounts.Except(ours).Select(mount => mount.Target).Where(target => target != "/")],
            [.. coverings]
        );
    }

    /// <summary>Whether it is on top of ours, or of a folder above: there, and not what ours is mounted on.</summary>
    static bool Hides(MountEntry other, MountEntry our, Dictionary<int, int> parents)
    {
        if (!UnixPath.IsWithin(our.Target, other.Target))
            return false;
        var id = our.Id;
        var steps = 0;
        while (parents.TryGetValue(id, out var parent) && parent != id && steps++ < parents.Count)
        {
            if (parent == other.Id)
                return false;
            id = parent;
        }
        return true;
    }

    /// <summary>Engines up to 20.10 leave a copy on or below a container's own mount for each copying of files into it
    /// while it runs.</summary>
    static bool IsSame(MountEntry other, MountEntry our) =>
        other.Id == our.Id || (other.Target, other.Device, other.Root) == (our.Target, our.Device, our.Root);

    /// <summary>The ledger's file system is the one mount that belongs there.</summary>
    static bool IsBelow(MountEntry other, MountEntry our, IReadOnlyList<MountEntry> ours) =>
        other.Target != our.Target
        && UnixPath.IsWithin(other.Target, our.Target)
        && !(other.Target == our.Target + Usage && ours.Any(one => one.Id == other.Parent && IsSame(one, our)));
}
