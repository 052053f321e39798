// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Status;

/// <summary>What is wrong with containers, by their state.</summary>
sealed class ContainerProblems : IProblemSource
{
    public IEnumerable<Problem> Find(IReadOnlyList<ContainerStatus> containers) =>
        containers.Select(Of).OfType<Problem>();

    static Problem? Of(ContainerStatus container) =>
        container.State switch
        {
            ContainerRows.Lost => new(
                "no-gpu",
                container.Name,
                "its device rules were written again without the GPU, as systemctl daemon-reload does: new programs "
                    + "in it find no GPU",
                $"docker restart {container.Name}"
            ),
            ContainerRows.Unlimited => new(
                "unlimited",
                container.Name,
                "it has a GPU and no quota",
                "run it with -v runai:/runai --label gpu-memory=0.5, or require quotas in the policy (requireQuota)"
            ),
            _ => null,
        };
}
