// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Volumes;

/// <summary>Makes and removes the private directories on disk and their mounts.</summary>
sealed class PrivateDirectories(StateLayout layout, ShimStore shims, IMountTable mounts, IShimWatch? watch = null)
    : IPrivateDirectories
{
    /// <summary>Room for the ledger's file (60 KiB) and the counts of refused calls (4 KiB), also if a page has 64 KiB
    /// (arm64).</summary>
    const string UsageOptions = "size=128k,nr_inodes=64,mode=1777";

    readonly Lock _lock = new();
    Location? _place; // Written once, and the same by whoever comes first.
    bool _staged;

    /// <summary>Makes the directory, or what is missing of it, and mounts it. Undoes all that it did where something
    /// fails, and throws <see cref="IOException"/>.</summary>
    /// <returns>The path to hand to the engine.</returns>
    public string Make(string dirId)
    {
        var work = layout.Directory(dirId);
        var staged = layout.Staged(dirId);
        var target = layout.Mount(dirId);
        var isNew = !Directory.Exists(work);
        try
        {
            Fill(work);
            watch?.Add(work);
            Stage(work, staged);
            StateLayout.MakeDirectory(target, FileModes.OwnerDirectory);
            MountSyscalls.BindMount(staged, target, recursive: true);
            Unstage(staged);
            return target;
        }
        catch
        {
            // The stage first: what is mounted there holds the folders below.
            Unstage(staged);
            if (isNew)
                Remove(dirId);
            throw;
        }
    }

    /// <summary>Takes it back from the engine. Containers that still have it keep it.</summary>
    public void Detach(string dirId) => DetachFrom(layout.Mount(dirId));

    /// <summary>Unmounts and deletes. For a container that still had it, it would be gone with all that is mounted on
    /// it.</summary>
    public void Remove(string dirId)
    {
        StopWatching(dirId);
        DetachFrom(layout.Mount(dirId));
        var work = layout.Directory(dirId);
        if (Directory.Exists(work))
            Directory.Delete(work, recursive: true);
    }

    public void StopWatching(string dirId) => watch?.Remove(layout.Directory(dirId));

    /// <summary>Where the engine finds it.</summary>
    public string MountPath(string dirId) => layout.Mount(dirId);

    /// <summary>Whether the engine can mount it now.</summary>
    public bool IsMounted(string dirId) => MountedOnes().Contains(dirId);

    /// <summary>Those that the plugin (and so the engine) sees mounted.</summary>
    public HashSet<string> MountedOnes() =>
        [
            .. from mount in mounts.Own()
            where Path.GetDirectoryName(mount.Target) == layout.Mounts && Find(mount) == Path.GetFileName(mount.Target)
            select Path.GetFileName(mount.Target),
        ];

    public IReadOnlyList<string> List() =>
        Directory.Exists(layout.Directories)
            ? [.. Directory.EnumerateDirectories(layout.Directories).Select(path => Path.GetFileName(path))]
            : [];

    public bool WriteQuota(string dirId, QuotaFile quota)
    {
        if (HasQuota(dirId, quota))
            return false;
        AtomicFile.Write(QuotaPath(dirId), quota.ToBytes(), FileModes.Readable, isLasting: false);
        return true;
    }

    /// <summary>After a reboot: the quota of a container that runs no more, or nothing, where power failed before it
    /// was on the disk.</summary>
    public void ForgetQuota(string dirId)
    {
        if (File.Exists(QuotaPath(dirId)))
            File.Delete(QuotaPath(dirId));
    }

    public bool HasQuota(string dirId, QuotaFile quota)
    {
        try
        {
            return ServedFile.TryRead(QuotaPath(dirId)) is { } content
                && content.AsSpan().SequenceEqual(quota.ToBytes());
        }
        catch (IOException)
        {
            return false;
        }
    }

    public string? Find(MountEntry mount)
    {
        if (
            Place() is not var (device, root)
            || mount.Device != device
            || !mount.Root.StartsWith(root, StringComparison.Ordinal)
        )
            return null;
        var name = mount.Root[root.Length..];
        var end = name.IndexOf('/');
        if (end >= 0)
            name = name[..end];
        return name.Length > 0 ? name : null;
    }

    public bool IsWhole(MountEntry mount, string dirId) =>
        Find(mount) == dirId && mount.Root.EndsWith("/" + dirId, StringComparison.Ordinal);

    public bool IsHandedOut(MountEntry mount, MountEntry parent)
    {
        if (
            Place() is not var (device, root)
            || parent.Device != device
            || Find(mount) is not { } dirId
            || !UnixPath.IsWithin(mount.Target, parent.Target)
        )
            return false;
        var above = root.TrimEnd('/')[..^Path.GetFileName(layout.Directories).Length];
        return Join(parent.Root, mount.Target[parent.Target.TrimEnd('/').Length..])
            == $"{above}{Path.GetFileName(layout.Mounts)}/{dirId}";
    }

    public string PathOf(string dirId) => layout.Directory(dirId);

    /// <summary>Whether this mount is the one that was handed to the engine, in whatever process it is seen; not a
    /// container's.</summary>
    public static bool IsHandedOut(MountEntry mount, string dirId) =>
        mount.Target.EndsWith($"/mounts/{dirId}", StringComparison.Ordinal);

    string QuotaPath(string dirId) => Path.Combine(layout.Directory(dirId), StateLayout.QuotaName);

    /// <summary>Where the folder of private directories is, in the terms of mount tables.</summary>
    Location? Place()
    {
        if (_place is { } known)
            return known;
        MountEntry? under = null;
        foreach (var mount in mounts.Own())
            if (
                UnixPath.IsWithin(layout.Directories, mount.Target)
                && mount.Target.Length >= (under?.Target.Length ?? 0)
            )
                under = mount;
        if (under is null)
            return null;
        _place = new(under.Device, Join(under.Root, layout.Directories[under.Target.TrimEnd('/').Length..]) + "/");
        return _place;
    }

    static string Join(string root, string rest) => root.TrimEnd('/') + rest;

    void Fill(string work)
    {
        foreach (
            var folder in (string[])
                [work, Path.Combine(work, StateLayout.UsageName), Path.Combine(work, StateLayout.QuietName)]
        )
            StateLayout.MakeDirectory(folder, FileModes.ReadableDirectory);
        var store = shims.Current();
        foreach (var name in store.Names)
        {
            var kept = Path.Combine(store.Folder, name);
            var wanted = Path.Combine(work, name);
            if (!File.Exists(wanted) && !MountSyscalls.TryHardLink(kept, wanted))
                AtomicFile.Write(wanted, File.ReadAllBytes(kept), FileModes.Readable);
        }
        AtomicFile.Write(
            Path.Combine(work, StateLayout.PreloadName),
            "/runai/librunai.so\n"u8,
            FileModes.Readable,
            isLasting: false
        );
    }

    /// <summary>Read-only where nothing propagates: a mount that is made read-only after it has propagated stays
    /// writable on the host's side.</summary>
    void Stage(string work, string staged)
    {
        EnsureStage();
        StateLayout.MakeDirectory(staged, FileModes.OwnerDirectory);
        MountSyscalls.BindMount(work, staged);
        MountSyscalls.MakePrivate(staged);
        MountSyscalls.RemountBind(staged, MountSyscalls.ReadOnly | MountSyscalls.NoSuid | MountSyscalls.NoDev);
        MountSyscalls.MountTmpfs(
            Path.Combine(staged, StateLayout.UsageName),
            MountSyscalls.NoSuid | MountSyscalls.NoDev | MountSyscalls.NoExec,
            UsageOptions
        );
    }

    void EnsureStage()
    {
        lock (_lock)
        {
            if (_staged)
                return;
            StateLayout.MakeDirectory(layout.Stage, FileModes.OwnerDirectory);
            MountSyscalls.MountTmpfs(
                layout.Stage,
                MountSyscalls.NoSuid | MountSyscalls.NoDev | MountSyscalls.NoExec,
                "size=1m,mode=700"
            );
            MountSyscalls.MakePrivate(layout.Stage);
            _staged = true;
        }
    }

    /// <summary>The copy below the propagated mount lives on.</summary>
    static void Unstage(string staged)
    {
        while (MountSyscalls.Unmount(staged)) { }
        RemoveEmpty(staged);
    }

    static void DetachFrom(string target)
    {
        while (MountSyscalls.Unmount(target)) { }
        RemoveEmpty(target);
    }

    /// <summary>Only ever an empty folder: what is still mounted there must not be deleted.</summary>
    static void RemoveEmpty(string path)
    {
        if (Directory.Exists(path))
            Directory.Delete(path);
    }
}
