// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Gpu;

/// <summary>Looks at the host's device nodes through the plugin's mounts of them.</summary>
sealed class DeviceNodes(PluginSettings settings) : IDeviceNodes
{
    const int MaxLinks = 40;

    /// <summary>How many files a search looks at: below /dev all that there can be, elsewhere (a container that mounts
    /// /usr is not rare) no more than costs nothing.</summary>
    const int MaxNodes = 20_000,
        MaxNodesElsewhere = 256;
    const uint Nvidia = 195,
        Drm = 226;

    /// <summary>Its number is given out when its module loads.</summary>
    const string ConnectionManager = "/dev/infiniband/rdma_cm";

    /// <summary>Where everybody may write, also containers that share the host's IPC namespace: what is a link to
    /// nowhere there now can lead to a GPU a moment later.</summary>
    static readonly string[] WorldWritable = ["/dev/shm", "/dev/mqueue", "/run/lock", "/run/shm", "/run/user"];

    // Where parts of the host are in the plugin. Of the rest it sees nothing.
    readonly (string Host, string Here)[] _visible =
    [
        ("/dev", settings.Devices),
        ("/run", "/host/run"),
        ("/usr", settings.Driver),
    ];

    public DevicePath Classify(string hostPath)
    {
        try
        {
            if (!hostPath.StartsWith('/') || hostPath.Contains('\0'))
                return new(DevicePathKind.Unknown);
            return Resolve(hostPath) is { } path ? Judge(path) : new(DevicePathKind.Unknown);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return new(DevicePathKind.Unknown);
        }
    }

    public bool IsHarmless(string hostPath)
    {
        try
        {
            // The engine's working folder is the root.
            var path = hostPath.StartsWith('/') ? hostPath : "/" + hostPath;
            return !path.Contains('\0')
                && Resolve(path) is { } node
                && Here(node) is { } here
                && AreHarmless(node, here, GpuMajors());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return false;
        }
    }

    /// <summary>A node, or all below a directory.</summary>
    static bool AreHarmless(string hostPath, string here, HashSet<uint> majors)
    {
        var top = Node(here);
        var seen = 0;
        foreach (var (path, type, major, minor) in top.Type == NodeType.Directory ? Below(here).Prepend(top) : [top])
            if (
                ++seen > MaxNodes
                || type is NodeType.BlockDevice or NodeType.Missing
                || (
                    type == NodeType.CharacterDevice
                    && !majors.Contains(major)
                    && !IsHarmless(major, minor)
                    && hostPath + path[here.Length..] != ConnectionManager
                )
            )
                return false;
        return true;
    }

    /// <summary>By the kernel's list of devices.</summary>
    static bool IsHarmless(uint major, uint minor) =>
        (major, minor) switch
        {
            (1, 3 or 5 or 7 or 8 or 9) => true, // null, zero, full, random, urandom
            (10, 200 or 229 or 232) => true, // net/tun, fuse, kvm
            (81 or 116, _) => true, // cameras, sound
            (231, >= 192) => true, // infiniband/uverbs*
            _ => false,
        };

    /// <summary>The path without links and dots, as the host resolves it; null where that leads out of what the plugin
    /// sees.</summary>
    string? Resolve(string path)
    {
        var left = new Stack<string>(path.Split('/').Reverse());
        var done = "";
        for (var links = 0; left.TryPop(out var name); )
        {
            if (name is "" or ".")
                continue;
            if (name == "..")
            {
                done = done[..Math.Max(0, done.LastIndexOf('/'))];
                continue;
            }
            var next = $"{done}/{name}";
            if (Here(next) is not { } here || Array.Exists(WorldWritable, folder => UnixPath.IsWithin(done, folder)))
                return null;
            if (Statx.Stat(here).Type != NodeType.Link)
            {
                done = next;
                continue;
            }
            if (++links > MaxLinks || new FileInfo(here).LinkTarget is not { } target)
                return null;
            if (target.StartsWith('/'))
                done = "";
            foreach (var part in target.Split('/').Reverse())
                left.Push(part);
        }
        return done;
    }

    string? Here(string hostPath)
    {
        foreach (var (host, here) in _visible)
            if (UnixPath.IsWithin(hostPath, host))
                return here + hostPath[host.Length..];
        return null;
    }

    DevicePath Judge(string hostPath)
    {
        if (Here(hostPath) is not { } here)
            return new(DevicePathKind.Unknown);
        var majors = GpuMajors();
        var (type, major, _) = Statx.Stat(here);
        if (type == NodeType.CharacterDevice)
            return majors.Contains(major) ? new(DevicePathKind.Gpu, hostPath) : new(DevicePathKind.NotGpu);
        return type == NodeType.Directory ? Search(hostPath, here, majors) : new(DevicePathKind.NotGpu);
    }

    /// <summary>All nodes below, as the engine takes them when it is given a directory; it does not follow links
    /// there.</summary>
    static DevicePath Search(string hostPath, string here, HashSet<uint> majors)
    {
        var max = UnixPath.IsWithin(hostPath, "/dev") ? MaxNodes : MaxNodesElsewhere;
        var seen = 0;
        foreach (var (path, type, major, _) in Below(here))
        {
            if (++seen > max)
                return new(DevicePathKind.Unknown);
            if (type == NodeType.CharacterDevice && majors.Contains(major))
                return new(DevicePathKind.Gpu, hostPath + path[here.Length..]);
        }
        return new(DevicePathKind.NotGpu);
    }

    static (string Path, NodeType Type, uint Major, uint Minor) Node(string path)
    {
        var (type, major, minor) = Statx.Stat(path);
        return (path, type, major, minor);
    }

    static IEnumerable<(string Path, NodeType Type, uint Major, uint Minor)> Below(string top)
    {
        var left = new Stack<string>([top]);
        while (left.TryPop(out var folder))
        {
            foreach (var path in Directory.EnumerateFileSystemEntries(folder))
            {
                var node = Node(path);
                yield return node;
                if (node.Type == NodeType.Directory)
                    left.Push(path);
            }
        }
    }

    /// <summary>NVIDIA's fixed major and the graphics nodes; the others (nvidia-uvm, nvidia-caps…) are given out when
    /// the modules load.</summary>
    static HashSet<uint> GpuMajors()
    {
        var majors = new HashSet<uint> { Nvidia, Drm };
        foreach (var line in File.ReadLines("/proc/devices"))
        {
            if (line.StartsWith("Block", StringComparison.Ordinal))
                break;
            var fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (
                fields.Length == 2
                && fields[1].StartsWith("nvidia", StringComparison.Ordinal)
                && uint.TryParse(fields[0], NumberStyles.None, CultureInfo.InvariantCulture, out var major)
            )
                majors.Add(major);
        }
        return majors;
    }
}
