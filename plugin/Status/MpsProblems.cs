// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Status;

/// <summary>Clients of an MPS server are counted for their containers. What the server itself takes is not, and
/// matters where quotas may add up to the whole GPU.</summary>
sealed class MpsProblems(UseMeter meter, PolicySource policy) : IProblemSource
{
    public IEnumerable<Problem> Find(IReadOnlyList<ContainerStatus> containers)
    {
        if (meter.Last is { IsMpsServed: true } && policy.Current.Overcommit >= 1)
            yield return new(
                "mps",
                null,
                "an MPS server of the host has GPU memory that counts for no container: containers that fill a GPU "
                    + "together get less than their quotas",
                "set overcommit in the policy file to less than 1 (0.97), or stop it: echo quit | "
                    + "nvidia-cuda-mps-control"
            );
    }
}
