// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>What a container has of private directories, by the mounts of its first process.</summary>
/// <param name="table">Those mounts.</param>
/// <param name="directories">The private directories.</param>
sealed class OwnMounts(IReadOnlyList<MountEntry> table, IPrivateDirectories directories)
{
    List<MountEntry>? _ours,
        _whole;

    /// <summary>More mounts than are kept.</summary>
    public bool IsCut => table is [.., var last] && ReferenceEquals(last, MountEntry.More);

    /// <summary>The process lives, and the kernel does not show its mounts.</summary>
    public bool IsUnreadable => table.Any(mount => ReferenceEquals(mount, MountEntry.Unreadable));

    /// <summary>What hides them.</summary>
    public Observed Observe() => IsCut ? Observed.None with { IsCut = true } : MountShadowing.Observe(table, Ours);

    /// <summary>IDs of the private directories that it has, whole or in part, without deleted ones.</summary>
    public List<string> Directories =>
        [
            .. Ours.Where(mount => !mount.IsDeleted)
                .Select(directories.Find)
                .OfType<string>()
                .Distinct(StringComparer.Ordinal),
        ];

    /// <summary>Mounts of a whole directory from which what the plugin unmounts goes too.</summary>
    public List<MountEntry> Slaves(string dirId) =>
        [.. Whole.Where(mount => directories.Find(mount) == dirId && !mount.IsPrivate)];

    /// <summary>For people, which part of the private directory a container with the volume has not got. Null where its
    /// process has ended.</summary>
    public string? Missing
    {
        get
        {
            if (table.Count == 0 || IsCut || IsUnreadable)
                return null;
            if (Whole.Count == 0)
                return "the private directory";
            return Whole.Exists(HasUsage) ? null : "the account of its processes";
        }
    }

    bool HasUsage(MountEntry our) =>
        table.Any(mount => mount.Parent == our.Id && mount.Target == our.Target + MountShadowing.Usage);

    /// <summary>Those of whole private directories, without those under another at the same place: engines up to 20.10
    /// leave copies there.</summary>
    List<MountEntry> Whole =>
        _whole ??= [
            .. Ours.Where(our =>
                directories.IsWhole(our, directories.Find(our)!)
                && !table.Any(other => other.Parent == our.Id && other.Target == our.Target)
            ),
        ];

    /// <summary>Not those that a bind of the engine's own folders brings along: all containers' lie there.</summary>
    List<MountEntry> Ours => _ours ??= FindOurs();

    List<MountEntry> FindOurs()
    {
        var byId = table.DistinctBy(mount => mount.Id).ToDictionary(mount => mount.Id);
        return [.. table.Where(mount => directories.Find(mount) is not null && !IsHandedOut(mount))];

        // A second one on top of the first is where the first is.
        bool IsHandedOut(MountEntry mount)
        {
            var at = mount;
            for (
                var steps = 0;
                steps < table.Count && byId.TryGetValue(at.Parent, out var parent) && !ReferenceEquals(parent, at);
                steps++
            )
            {
                if (directories.IsHandedOut(mount, parent))
                    return true;
                if (parent.Target != mount.Target)
                    return false;
                at = parent;
            }
            return false;
        }
    }
}
