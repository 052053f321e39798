// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>What of a configuration lets a container reach around every limit, in the words of docker run.</summary>
static class HostAccess
{
    /// <summary>Capabilities that lead no further than the container: the engine's own set but for MKNOD, and what only
    /// reaches the container's processes, shared memory and network. Every other, those of later kernels among them, is
    /// a way to mount, trace, load, to read the host's logs, or to change what all share: clock, power, limits of the
    /// kernel, files that cannot be removed. <c>docs/security.md</c> has them one by one.</summary>
    static readonly HashSet<string> PlainCapabilities = new(StringComparer.Ordinal)
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
        "IPC_LOCK",
        "IPC_OWNER",
        NetAdmin,
        "NET_BROADCAST",
        "SYS_NICE",
    };

    const string NetAdmin = "NET_ADMIN";

    /// <summary>Of annotations, those that no runtime acts on, and those of CDI, which are devices. Others are orders
    /// to one, which is root: what follows <c>org.systemd.property.</c> runc writes into the container's systemd unit
    /// (<c>PIDs</c> takes anybody's processes into its control group, <c>Conflicts</c> stops any service), by
    /// <c>run.oci.</c> crun takes seccomp filters and their plugins from the host, <c>org.criu.config</c>,
    /// <c>io.katacontainers.</c> and <c>dev.gvisor.</c> are others' settings.</summary>
    static readonly string[] PlainAnnotations = ["org.opencontainers.image.", GpuAccessFinder.CdiAnnotation];

    static readonly string[] Masked =
    [
        "/proc/asound",
        "/proc/acpi",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
    ];
    static readonly string[] ReadOnly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

    /// <summary>Options that bypass the engine's confinement; empty if there are none.</summary>
    public static List<string> Privileges(HostConfig host)
    {
        var found = new List<string>();
        if (host.Privileged)
            found.Add("--privileged");
        foreach (var capability in host.CapAdd ?? [])
            if (!IsPlain(capability, host))
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

    /// <summary>Go's upper case makes an S of ſ and an I of ı; ASCII's, which is used here, leaves them as they are, so
    /// such a name is none of the plain ones.</summary>
    static bool IsPlain(string capability, HostConfig host)
    {
        var name = new string([.. capability.Select(c => char.IsAsciiLetterLower(c) ? char.ToUpperInvariant(c) : c)]);
        name = name.StartsWith("CAP_", StringComparison.Ordinal) ? name[4..] : name;
        return PlainCapabilities.Contains(name) && !(name == NetAdmin && host.NetworkMode == "host");
    }

    /// <summary>What does not weaken the engine's own confinement. A profile of the user's own may allow
    /// anything.</summary>
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
    static bool LacksSome(IReadOnlyList<string>? paths, string[] needed) =>
        paths is not null && needed.Any(path => !paths.Contains(path));

    /// <summary>Namespaces of the host that the container shares: <c>--pid host</c>. Empty if there are none.</summary>
    public static List<string> Namespaces(HostConfig host)
    {
        var found = new List<string>();
        foreach (
            var (flag, mode) in new[]
            {
                ("--pid", host.PidMode),
                ("--ipc", host.IpcMode),
                ("--userns", host.UsernsMode),
                ("--cgroupns", host.CgroupnsMode),
                ("--network", host.NetworkMode),
            }
        )
            if (mode == "host")
                found.Add($"{flag} host");
        return found;
    }
}
