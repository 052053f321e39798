using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission;

/// <summary>What of a configuration lets a container reach around every limit, in the words of docker run.</summary>
static class HostGround
{
    /// <summary>With one of them a process can mount, trace, load or read its way out. Go's upper case makes an S of ſ and an I of ı, so names of other letters than these count as well.</summary>
    static readonly HashSet<string> Capabilities = new(StringComparer.OrdinalIgnoreCase)
    {
        "ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "MKNOD", "DAC_READ_SEARCH", "BPF", "PERFMON", "CHECKPOINT_RESTORE",
    };

    /// <summary>Of annotations, those that no runtime acts on, and those of CDI, which are devices. Others are orders to one, which is root: what follows <c>org.systemd.property.</c> runc writes into the container's systemd unit
    /// (<c>PIDs</c> takes anybody's processes into its control group, <c>Conflicts</c> stops any service), by <c>run.oci.</c> crun takes seccomp filters and their plugins from the host,
    /// <c>org.criu.config</c>, <c>io.katacontainers.</c> and <c>dev.gvisor.</c> are others' settings.</summary>
    static readonly string[] PlainAnnotations = ["org.opencontainers.image.", GpuVectors.CdiAnnotation];

    static readonly string[] Masked =
    [
        "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    ];
    static readonly string[] ReadOnly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

    public static List<string> Privileges(HostConfig host)
    {
        var found = new List<string>();
        if (host.Privileged)
            found.Add("--privileged");
        foreach (var capability in host.CapAdd ?? [])
            if (!capability.All(c => char.IsAsciiLetter(c) || c == '_') || Capabilities.Contains(capability.StartsWith("CAP_", StringComparison.OrdinalIgnoreCase) ? capability[4..] : capability))
                found.Add($"--cap-add {Quoted.Text(capability)}");
        foreach (var option in host.SecurityOpt ?? [])
            if (!IsHarmless(option))
                found.Add($"--security-opt {Quoted.Text(option)}");
        if (LacksSome(host.MaskedPaths, Masked) || LacksSome(host.ReadonlyPaths, ReadOnly))
            found.Add("--security-opt systempaths=unconfined");
        foreach (var name in host.Annotations?.Keys ?? Enumerable.Empty<string>())
            if (!Array.Exists(PlainAnnotations, prefix => name.StartsWith(prefix, StringComparison.Ordinal)))
                found.Add($"--annotation {Quoted.Text(name)}");
        foreach (var rule in host.DeviceCgroupRules ?? [])
            found.Add($"--device-cgroup-rule {Quoted.Text(rule)}");
        return found;
    }

    /// <summary>What does not weaken the engine's own confinement. A profile of the user's own may allow anything.</summary>
    static bool IsHarmless(string option)
    {
        var words = option.Split(['=', ':'], 2);
        return words[0] switch
        {
            "no-new-privileges" => true,
            "seccomp" => words[^1] == "builtin",
            "apparmor" => words[^1] == "docker-default",
            "label" => words[^1].StartsWith("level:", StringComparison.Ordinal),
            _ => false,
        };
    }

    /// <summary>Without a list the engine takes its own, which has at least these.</summary>
    static bool LacksSome(IReadOnlyList<string>? paths, string[] needed) => paths is not null && needed.Any(path => !paths.Contains(path));

    public static List<string> Namespaces(HostConfig host)
    {
        var found = new List<string>();
        foreach (var (flag, mode) in new[] { ("--pid", host.PidMode), ("--ipc", host.IpcMode), ("--userns", host.UsernsMode), ("--cgroupns", host.CgroupnsMode), ("--network", host.NetworkMode) })
            if (mode == "host")
                found.Add($"{flag} host");
        return found;
    }
}
