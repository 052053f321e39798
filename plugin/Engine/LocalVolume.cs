namespace Runai.GpuMemory.Engine;

/// <summary>The options of the engine's own volume driver are mount(8)'s: a volume can be any part of the host under another name.</summary>
static class LocalVolume
{
    public const string Driver = "local";

    static readonly HashSet<string> NotOfThisHost = ["nfs", "nfs4", "cifs", "smb3", "tmpfs"];
    static readonly Dictionary<string, string> KernelsOwn = new(StringComparer.Ordinal) { ["devtmpfs"] = "/dev", ["proc"] = "/proc", ["sysfs"] = "/sys", ["cgroup"] = "/sys", ["cgroup2"] = "/sys", ["debugfs"] = "/sys" };

    /// <summary>The paths of the host that such a volume shows.</summary>
    public static List<string> HostPaths(IReadOnlyDictionary<string, string>? options)
    {
        var paths = new List<string>();
        var (type, device) = (options?.GetValueOrDefault("type") ?? "", options?.GetValueOrDefault("device") ?? "");
        var flags = (options?.GetValueOrDefault("o") ?? "").Split(',');
        if (KernelsOwn.TryGetValue(type, out var own))
            paths.Add(own);
        // The engine's working folder is the root; with bind, the kernel does not look at the type.
        if (device.Length > 0 && (flags.Any(f => f is "bind" or "rbind") || !NotOfThisHost.Contains(type)))
            paths.Add(device.StartsWith('/') ? device : "/" + device);
        // overlay's lowerdir=/a:/b and the like.
        foreach (var value in flags.Where(f => f.Contains('=')).SelectMany(f => f[(f.IndexOf('=', StringComparison.Ordinal) + 1)..].Split(':')))
            if (value.StartsWith('/'))
                paths.Add(value);
        return paths;
    }
}
