namespace Runai.GpuMemory.Engine;

/// <summary>The options of the engine's own volume driver are mount(8)'s: a volume can be any part of the host under another name.</summary>
static class LocalVolume
{
    public const string Driver = "local";

    /// <summary>Begins what swarm fills in where a service's task runs. Its author can make anything of it.</summary>
    public const string Template = "{{";

    static readonly HashSet<string> NotOfThisHost = ["nfs", "nfs4", "cifs", "smb3", "tmpfs"];
    static readonly HashSet<string> OverlayFolders = ["lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir"];
    static readonly Dictionary<string, string> KernelsOwn = new(StringComparer.Ordinal) { ["devtmpfs"] = "/dev", ["proc"] = "/proc", ["sysfs"] = "/sys", ["cgroup"] = "/sys", ["cgroup2"] = "/sys", ["debugfs"] = "/sys" };

    /// <summary>The paths of the host that such a volume shows; an option in their place that may yet become a bind.</summary>
    public static List<string> HostPaths(IReadOnlyDictionary<string, string>? options)
    {
        var paths = new List<string>();
        string Option(string name) => options?.GetValueOrDefault(name) ?? "";
        var (type, device, flags) = (Option("type"), Option("device"), Option("o").Split(','));
        if (KernelsOwn.TryGetValue(type, out var own))
            paths.Add(own);
        paths.AddRange(flags.Prepend(type).Where(text => text.Contains(Template, StringComparison.Ordinal)));
        // The engine's working folder is the root; with bind, the kernel does not look at the type.
        if (device.Length > 0 && (flags.Any(f => f is "bind" or "rbind") || !NotOfThisHost.Contains(type)))
            paths.Add(device.StartsWith('/') ? device : "/" + device);
        // overlay's lowerdir=/a:b and the like. A backslash hides what the kernel will read.
        foreach (var (name, values) in flags.Where(f => f.Contains('=')).Select(f => f.Split('=', 2)).Select(f => (f[0], f[1])))
            foreach (var value in values.Split(':'))
                if (value.StartsWith('/') || (OverlayFolders.Contains(name) && value.Length > 0))
                    paths.Add(value.Contains('\\') ? "/" : value.StartsWith('/') ? value : "/" + value);
        return paths;
    }
}
