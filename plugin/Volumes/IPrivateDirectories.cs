// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>The directories that containers see at the volume's target: one an activation, read-only for them, with a
/// small writable file system for the ledger.</summary>
interface IPrivateDirectories
{
    /// <summary>Replaces the quota file. False when it said the same already.</summary>
    bool WriteQuota(string dirId, QuotaFile quota);

    /// <summary>Whether the directory's quota file says exactly this.</summary>
    bool HasQuota(string dirId, QuotaFile quota);

    /// <summary>All that are on disk, mounted or not.</summary>
    IReadOnlyList<string> List();

    /// <summary>The private directory behind a mount of some process; null for any other mount.</summary>
    string? Find(MountEntry mount);

    /// <summary>Whether it is the whole of the directory that is mounted, not a part of it.</summary>
    bool IsWhole(MountEntry mount, string dirId);

    /// <summary>Whether the mount lies where the directory is handed out to the engine, as a bind of a folder above
    /// shows it to a container.</summary>
    /// <param name="mount">Of a private directory.</param>
    /// <param name="parent">The mount on which it is.</param>
    bool IsHandedOut(MountEntry mount, MountEntry parent);

    /// <summary>Where a directory is, as the plugin sees it.</summary>
    string PathOf(string dirId);

    /// <summary>Who opens its shim is known, or of no interest any more.</summary>
    void StopWatching(string dirId);
}
