// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text.Json;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>The kernel as the judge of what a running container has of the host, under a policy that allows it
/// none.</summary>
static class Ground
{
    /// <summary>DAC_READ_SEARCH, LINUX_IMMUTABLE, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_BOOT, SYS_RESOURCE,
    /// SYS_TIME, SYSLOG, PERFMON, BPF, CHECKPOINT_RESTORE, by their numbers in linux/capability.h.</summary>
    static readonly int[] Capabilities = [2, 9, 16, 17, 19, 21, 22, 24, 25, 34, 38, 39, 40];

    /// <summary>What a container has at places that runc chooses.</summary>
    static readonly HashSet<string> OwnPlaces =
    [
        "/",
        "/proc",
        "/sys",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/sys/fs/cgroup",
    ];

    static readonly HashSet<string> KernelTypes =
    [
        "binfmt_misc",
        "tracefs",
        "securityfs",
        "bpf",
        "pstore",
        "debugfs",
        "devtmpfs",
        "mqueue",
        "devpts",
        "proc",
        "sysfs",
        "cgroup",
        "cgroup2",
        "overlay",
        "9p",
    ];

    /// <summary>Null when there is nothing, or it does not run.</summary>
    public static string? FindBreach(TestEngine engine, string id)
    {
        using var json = JsonDocument.Parse(engine.Raw("GET", $"/containers/{id}/json").Body);
        var pid = json.RootElement.GetProperty("State").GetProperty("Pid").GetInt32();
        try
        {
            return pid == 0 ? null : FindCapability(pid) ?? FindNamespace(pid, engine.Daemon) ?? FindMount(pid);
        }
        catch (IOException)
        {
            return null; // it ended
        }
    }

    static string? FindCapability(int pid)
    {
        var line = File.ReadLines($"/proc/{pid}/status").First(l => l.StartsWith("CapBnd:", StringComparison.Ordinal));
        var mask = ulong.Parse(line.Split('\t')[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        return Array.Exists(Capabilities, number => (mask >> number & 1) != 0)
            ? $"has the capabilities {mask:x}"
            : null;
    }

    static string? FindNamespace(int pid, int host)
    {
        foreach (var space in (string[])["pid", "ipc", "net", "mnt"])
            if (
                new FileInfo($"/proc/{pid}/ns/{space}").LinkTarget is { } own
                && own == new FileInfo($"/proc/{host}/ns/{space}").LinkTarget
            )
                return $"has the host's {space} namespace";
        return null;
    }

    static string? FindMount(int pid)
    {
        foreach (var line in File.ReadLines($"/proc/{pid}/mountinfo"))
        {
            var (fields, type) = (line.Split(' '), line.Split(" - ")[1].Split(' ')[0]);
            var place = fields[4];
            if (
                !OwnPlaces.Contains(place)
                && !place.StartsWith("/proc/", StringComparison.Ordinal)
                && !place.StartsWith("/sys/", StringComparison.Ordinal)
                && KernelTypes.Contains(type)
            )
                return $"has {type} at {place}";
        }
        return null;
    }
}
