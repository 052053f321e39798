// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Volumes;

/// <summary>The control groups as <c>/proc</c> shows them.</summary>
sealed class ProcCgroups : IProcessCgroups
{
    public bool IsInContainer(int pid, string container) =>
        container.Length == 64 && Read(pid).Contains(container, StringComparison.Ordinal);

    public IReadOnlyList<string> ContainersOf(int pid) => ControlGroups.ContainersIn(Read(pid));

    static string Read(int pid)
    {
        try
        {
            return LivingThread.FolderOf(pid) is { } folder ? File.ReadAllText(folder + "/cgroup") : "";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
