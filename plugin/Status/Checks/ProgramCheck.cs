// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Reconciliation;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>Containers with a quota into whose programs no preload gets. Reconciliation has looked, some seconds after
/// their start.</summary>
sealed class ProgramCheck(RunningContainers running) : ICheck
{
    public IEnumerable<Problem> Find(EngineInfo? engine) =>
        from container in running.All
        where container is { Quota: not null, Unreached: not null }
        orderby container.Name
        select new Problem(
            "static",
            container.Name,
            $"its program {Quoted.Text(container.Unreached)} is static or of musl, so nothing limits its GPU memory",
            "use an image whose programs are linked to glibc (Debian, Ubuntu; not Alpine)"
        );
}
