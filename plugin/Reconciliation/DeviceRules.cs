// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>By the rules of its control group: a list (version 1), or programs in the kernel (version 2).</summary>
/// <param name="findRoot">Where a hierarchy is, see <see cref="ControlGroupTree.Find"/>.</param>
sealed class DeviceRules(Func<string, string?> findRoot) : IDeviceRules
{
    const int MaxLine = 128,
        MaxLines = 10_000;

    /// <summary>NVIDIA's major number, the minor ones of GPUs, and that of <c>/dev/nvidiactl</c>.</summary>
    const uint Major = 195,
        MostGpus = 64,
        Control = 255;

    public bool? AllowGpus(int pid)
    {
        try
        {
            if (
                LivingThread.FolderOf(pid) is not { } folder
                || GroupIn(File.ReadAllText(folder + "/cgroup")) is not var (controllers, group)
                || findRoot(controllers) is not { } root
            )
                return null;
            return controllers.Length > 0 ? InList($"{root}{group}/devices.list") : InPrograms(root + group);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>From <c>5:devices:/docker/0123…</c>, else from <c>0::/docker/0123…</c>, whose controllers are empty;
    /// null where neither is there, or the path leads out of what the plugin sees.</summary>
    internal static (string Controllers, string Group)? GroupIn(string controlGroups)
    {
        (string, string)? found = null;
        foreach (var line in controlGroups.Split('\n'))
            if (
                line.Split(':', 3) is [_, var controllers, ['/', ..] path]
                && !path.Split('/').Contains("..")
                && (controllers.Split(',').Contains("devices") || (controllers.Length == 0 && found is null))
            )
                found = (controllers, path.TrimEnd('/'));
        return found;
    }

    static bool? InList(string path)
    {
        if (!File.Exists(path))
            return null;
        using var list = File.OpenRead(path);
        return AllowsGpus(BoundedLines.Read(list, MaxLine).Take(MaxLines).Select(line => line.Text));
    }

    /// <summary>Lines as <c>c 195:0 rwm</c>; what is not in the list is denied.</summary>
    internal static bool AllowsGpus(IEnumerable<string> list) =>
        list.Any(line =>
            line.Split(' ') is [var type, var numbers, var access]
            && type is "a" or "c"
            && numbers.Split(':')[0] is "*" or "195"
            && access.Contains('r')
            && access.Contains('w')
        );

    /// <summary>All of them have a say. A group without any may open everything.</summary>
    internal static bool? InPrograms(string group)
    {
        if (DevicePrograms.Of(group) is not { } programs)
            return null;
        for (var minor = 0U; minor <= Control; minor = minor == MostGpus ? Control : minor + 1)
        {
            var isAllowed = true;
            foreach (var program in programs)
            {
                if (DeviceProgram.Allows(program, Major, minor) is not { } allows)
                    return null;
                isAllowed &= allows;
            }
            if (isAllowed)
                return true;
        }
        return false;
    }
}
