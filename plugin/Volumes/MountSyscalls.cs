// SPDX-License-Identifier: Apache-2.0
using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Volumes;

/// <summary>The mount calls of Linux. All return 0, or -1 with errno, which <see cref="Check"/> makes an
/// <see cref="IOException"/> that names the call and its object.</summary>
static partial class MountSyscalls
{
    /// <summary>Flags of mount(2), named as there without <c>MS_</c>.</summary>
    public const ulong ReadOnly = 1,
        NoSuid = 2,
        NoDev = 4,
        NoExec = 8,
        Remount = 32,
        Bind = 4096,
        Recursive = 16384,
        Private = 1 << 18;

    /// <summary>Flags of umount2(2): unmount at once though in use, and do not follow a symbolic link.</summary>
    public const int Detach = 2,
        NoFollow = 8;
    const int Enoent = 2,
        Enotdir = 20,
        Einval = 22;

    /// <summary>Shows the tree at <paramref name="source"/> at <paramref name="target"/> too; with its submounts where
    /// <paramref name="recursive"/>.</summary>
    public static void BindMount(string source, string target, bool recursive = false) =>
        Check(Mount(source, target, null, Bind | (recursive ? Recursive : 0), null), "mount --bind", target);

    /// <summary>Nothing that is mounted below appears elsewhere, nor the other way round.</summary>
    public static void MakePrivate(string target) =>
        Check(Mount(null, target, null, Private, null), "mount --make-private", target);

    /// <summary>Changes the flags of this one mount; the file system beneath and other mounts of it stay as they
    /// are.</summary>
    public static void RemountBind(string target, ulong flags) =>
        Check(Mount(null, target, null, Remount | Bind | flags, null), "mount -o remount,bind", target);

    /// <summary>Mounts a new tmpfs. The options are those of tmpfs(5), such as <c>size=64k,mode=1777</c>.</summary>
    public static void MountTmpfs(string target, ulong flags, string options) =>
        Check(Mount("tmpfs", target, "tmpfs", flags, options), "mount -t tmpfs", target);

    /// <summary>The tree of all control groups, to be read.</summary>
    /// <param name="target">Where.</param>
    /// <param name="controllers">Of a hierarchy of version 1; empty: the one of version 2.</param>
    public static void MountControlGroups(string target, string controllers) =>
        Check(
            Mount(
                "cgroup",
                target,
                controllers.Length > 0 ? "cgroup" : "cgroup2",
                ReadOnly | NoSuid | NoDev | NoExec,
                controllers.Length > 0 ? controllers : null
            ),
            "mount -t cgroup",
            target
        );

    /// <summary>Takes the mount and all below it away at once, in use or not; users keep what they have open. False
    /// where nothing was mounted.</summary>
    public static bool Unmount(string target)
    {
        if (Umount2(target, Detach | NoFollow) == 0)
            return true;
        if (Marshal.GetLastPInvokeError() is Einval or Enoent or Enotdir)
            return false;
        Check(-1, "umount", target);
        return false;
    }

    /// <summary>A second name for a file. False where the file system offers none; a name that exists is an
    /// error.</summary>
    public static bool TryHardLink(string existing, string name) => Link(existing, name) == 0;

    static void Check(int result, string call, string target)
    {
        if (result == 0)
            return;
        var error = Marshal.GetLastPInvokeError();
        throw new IOException($"{call} {target}: {new Win32Exception(error).Message}");
    }

    [LibraryImport("libc", EntryPoint = "mount", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Mount(string? source, string target, string? type, ulong flags, string? data);

    [LibraryImport("libc", EntryPoint = "umount2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Umount2(string target, int flags);

    [LibraryImport("libc", EntryPoint = "link", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Link(string existing, string name);
}
