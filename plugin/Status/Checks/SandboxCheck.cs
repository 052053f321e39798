// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Reconciliation;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>gVisor and Kata run containers under kernels of their own: the plugin sees neither their programs nor their
/// mounts, and the processes of the driver's count are not the container's.</summary>
sealed class SandboxCheck(RunningContainers running) : ICheck
{
    static readonly string[] Sandboxes = ["runsc", "gvisor", "kata"];

    public IEnumerable<Problem> Find(EngineInfo? engine) =>
        from container in running.All
        where container.Quota is not null && IsSandbox(container.Runtime, engine)
        orderby container.Name
        select new Problem(
            "sandbox",
            container.Name,
            $"its runtime {Quoted.Text(container.Runtime)} is a sandbox with a kernel of its own, for which quotas "
                + "were not made: they may not hold",
            "run it with --runtime=runc"
        );

    static bool IsSandbox(string runtime, EngineInfo? engine) =>
        new[] { runtime, engine?.ProgramOf(runtime) ?? "" }.Any(name =>
            Sandboxes.Any(sandbox => name.Contains(sandbox, StringComparison.OrdinalIgnoreCase))
        );
}
