// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>The options of the engine's own volume driver are those of mount(2): a volume can be any part of the host
/// under another name. The engine reads <c>type</c>, <c>device</c> and <c>o</c> as they are, divides <c>o</c> at
/// commas, and follows neither case nor blanks; nor does the kernel.</summary>
static class LocalVolume
{
    /// <summary>The driver's name. A body that names no driver means this one.</summary>
    public const string Driver = "local";

    /// <summary>Begins what swarm fills in where a service's task runs. Its author can make anything of it.</summary>
    public const string Template = "{{";

    /// <summary>Their devices and options name nothing of this host.</summary>
    static readonly HashSet<string> RemoteFilesystems = new(StringComparer.Ordinal)
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "ceph",
        "9p",
        "glusterfs",
        "lustre",
        "tmpfs",
    };

    /// <summary>What lies on a block device, or in a file: as much of the host as the device is.</summary>
    static readonly HashSet<string> OnBlockDevices = new(StringComparer.Ordinal)
    {
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "f2fs",
        "vfat",
        "exfat",
        "ntfs3",
        "iso9660",
        "udf",
        "squashfs",
        "erofs",
    };

    /// <summary>9p otherwise goes over the host's Unix sockets, over files that the engine has open, or to shares that
    /// a hypervisor gives this host.</summary>
    static readonly HashSet<string> NetworkTransports = new(StringComparer.Ordinal) { "trans=tcp", "trans=rdma" };

    /// <summary>In the words of a refusal.</summary>
    public const string AllowedTypes =
        "type nfs, cifs, ceph, 9p, glusterfs, lustre or tmpfs, a file system on an allowed device, or a bind "
        + "of an allowed folder";

    static readonly HashSet<string> OverlayFolders = new(StringComparer.Ordinal)
    {
        "lowerdir",
        "lowerdir+",
        "datadir+",
        "upperdir",
        "workdir",
    };
    static readonly Dictionary<string, string> KernelFilesystems = new(StringComparer.Ordinal)
    {
        ["devtmpfs"] = "/dev",
        ["proc"] = "/proc",
        ["sysfs"] = "/sys",
        ["cgroup"] = "/sys",
        ["cgroup2"] = "/sys",
        ["debugfs"] = "/sys",
    };

    /// <summary>What of the host such a volume shows, for people to read as well: paths, and what is no path
    /// (<see cref="IsPath"/>) and no list of paths can allow. Of the options' values only those that are paths are
    /// among it: others may be passwords.</summary>
    public static List<string> HostPaths(IReadOnlyDictionary<string, string>? options)
    {
        var paths = new List<string>();
        string Option(string name) => options?.GetValueOrDefault(name) ?? "";
        var type = Option("type");
        var device = Option("device");
        var flags = Option("o").Split(',');
        if (type.Contains(Template, StringComparison.Ordinal))
            paths.Add("type={{…}}");
        paths.AddRange(
            flags
                .Where(flag => flag.Contains(Template, StringComparison.Ordinal))
                .Select(flag =>
                    flag.StartsWith(Template, StringComparison.Ordinal) ? "o={{…}}" : $"o={NameOf(flag)}={{{{…}}}}"
                )
        );
        // With bind, the kernel does not look at the type.
        if (flags.Any(flag => flag is "bind" or "rbind"))
            paths.Add(Absolute(device));
        else if (OnBlockDevices.Contains(type))
            paths.AddRange([Absolute(device), .. flags.Where(NamesDevice).Select(flag => Absolute(ValueOf(flag)))]);
        else if (RemoteFilesystems.Contains(type))
            paths.AddRange(
                flags.Where(flag =>
                    type == "9p" ? NameOf(flag) == "trans" && !NetworkTransports.Contains(flag) : IsTicketsOfOther(flag)
                )
            );
        else if (type.Length > 0 || device.Length > 0)
            paths.AddRange(OfOther(type, device, flags));
        return paths;
    }

    /// <summary>cifs takes the Kerberos tickets of that user of the host.</summary>
    static bool IsTicketsOfOther(string flag) => NameOf(flag).Equals("cruid", StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether an entry of <see cref="HostPaths"/> is an absolute path on the host. Other entries show an
    /// option.</summary>
    public static bool IsPath(string hostPath) => hostPath.StartsWith('/');

    /// <summary>The words of the engine without what it repeats of a volume's options where a mount fails: of those it
    /// hides one password, by one of its names.</summary>
    public static string WithoutOptions(string message)
    {
        const string Begin = "failed to mount local volume: mount ";
        if (message.IndexOf(Begin, StringComparison.Ordinal) is not (>= 0 and var at))
            return message;
        // What the kernel says comes last, in plain words.
        var said = message[(message.LastIndexOf(':') + 1)..];
        return message[..(at + Begin.Length - 1)]
            + (said.Length > 1 && said.All(c => char.IsAsciiLetter(c) || c == ' ') ? ":" + said : "");
    }

    /// <summary>A kernel's own, an overlay, or one that is unknown here: never allowed by its paths alone, and a way to
    /// a GPU by them all the same.</summary>
    static IEnumerable<string> OfOther(string type, string device, string[] flags)
    {
        yield return type.Length == 0 ? "type=" : $"type={type}";
        if (KernelFilesystems.TryGetValue(type, out var own))
            yield return own;
        if (device.Length > 0)
            yield return Absolute(device);
        // lowerdir=/a:b and the like. A backslash hides what the kernel will read.
        foreach (var flag in flags.Where(flag => OverlayFolders.Contains(NameOf(flag))))
        foreach (var value in ValueOf(flag).Split(':', StringSplitOptions.RemoveEmptyEntries))
            yield return value.Contains('\\') ? "/" : Absolute(value);
    }

    /// <summary><c>logdev=</c>, <c>journal_path=</c>: another device than the one it is on.</summary>
    static bool NamesDevice(string flag) =>
        flag.Contains('=')
        && (
            NameOf(flag).Contains("dev", StringComparison.OrdinalIgnoreCase)
            || NameOf(flag).Contains("path", StringComparison.OrdinalIgnoreCase)
        );

    static string NameOf(string flag) => flag.Split('=', 2)[0];

    static string ValueOf(string flag) => flag.Split('=', 2) is [_, var value] ? value : "";

    /// <summary>The engine's working folder is the root.</summary>
    static string Absolute(string path) => path.StartsWith('/') ? path : "/" + path;
}
