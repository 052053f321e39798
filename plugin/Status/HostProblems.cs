// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Status.Checks;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Status;

/// <summary>What is wrong with the host as a whole, by what the plugin knows without looking.</summary>
sealed class HostProblems(IChainState chain, PolicySource policy, IGpuInventory gpus, IVolumeCatalog volumes)
    : IProblemSource
{
    const int MaxVolumes = 20;

    public IEnumerable<Problem> Find(IReadOnlyList<ContainerStatus> containers)
    {
        if (chain.LastProblem is { } notAsked)
            yield return Problem.Of("chain", notAsked);
        if (policy.State.Refused is [var refused, ..])
            yield return new(
                "policy",
                null,
                policy.Current.Problem is null
                    ? $"the policy file is refused, and the last good one is in force: {refused}"
                    : $"the policy file is refused, and no container with a GPU or a quota starts: {refused}",
                "correct the file; runai-docker policy check FILE says whether it is right"
            );
        if (gpus.KnownProblem is { } nvml)
            yield return new(
                "nvml",
                null,
                $"the plugin does not know the host's GPUs: {nvml}",
                "nvidia-smi on the host says whether the driver works; docs/operate.md has the settings "
                    + "driver.source and NVML_LIBRARY"
            );
        foreach (var damaged in volumes.List().Where(volume => volume.IsDamaged).Take(MaxVolumes))
            yield return Problem.Of("volume", QuotaVolume.Damage(damaged.Name, volumes.DriverName));
    }
}
