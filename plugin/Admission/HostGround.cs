using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission;

/// <summary>What of a configuration lets a container reach around every limit, in the words of docker run.</summary>
static class HostGround
{
    /// <summary>With one of them a process can mount, trace, load or read its way out.</summary>
    static readonly HashSet<string> Capabilities = new(StringComparer.OrdinalIgnoreCase)
    {
        "ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "MKNOD", "DAC_READ_SEARCH", "BPF", "PERFMON", "CHECKPOINT_RESTORE",
    };

    public static List<string> Privileges(HostConfig host)
    {
        var found = new List<string>();
        if (host.Privileged)
            found.Add("--privileged");
        foreach (var capability in host.CapAdd ?? [])
            if (Capabilities.Contains(capability.StartsWith("CAP_", StringComparison.OrdinalIgnoreCase) ? capability[4..] : capability))
                found.Add($"--cap-add {Quoted.Text(capability)}");
        foreach (var option in host.SecurityOpt ?? [])
            if (option.EndsWith("unconfined", StringComparison.OrdinalIgnoreCase) || option.Replace('=', ':') == "label:disable")
                found.Add($"--security-opt {Quoted.Text(option)}");
        foreach (var rule in host.DeviceCgroupRules ?? [])
            found.Add($"--device-cgroup-rule {Quoted.Text(rule)}");
        return found;
    }

    public static List<string> Namespaces(HostConfig host)
    {
        var found = new List<string>();
        foreach (var (flag, mode) in new[] { ("--pid", host.PidMode), ("--ipc", host.IpcMode), ("--userns", host.UsernsMode), ("--cgroupns", host.CgroupnsMode), ("--network", host.NetworkMode) })
            if (mode == "host")
                found.Add($"{flag} host");
        return found;
    }
}
