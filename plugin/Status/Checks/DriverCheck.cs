// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>The driver's age, and GPUs that it divides.</summary>
sealed class DriverCheck(IGpuInventory gpus, PolicySource policy) : ICheck
{
    /// <summary>The first driver that the shim works with.</summary>
    const int Oldest = 450;

    public IEnumerable<Problem> Find(EngineInfo? engine)
    {
        if (gpus.DriverVersion is { } version && MajorOf(version) < Oldest)
            yield return new(
                "driver",
                null,
                $"the shim does not work with driver {Quoted.Text(version)}",
                $"upgrade NVIDIA's driver to {Oldest} or later"
            );
        var divided = gpus.Known.Where(gpu => gpu.IsDivided).Select(gpu => $"GPU {gpu.Index}").ToArray();
        if (divided.Length > 0 && policy.Current.Overcommit is not null)
            yield return new(
                "mig",
                null,
                $"{Bounded.List(divided)} in MIG mode: the plugin does not know a container's instance, and counts its "
                    + "quota on every GPU, so containers are refused for which there is room",
                "write quotas there as sizes (4g), and raise overcommit in the policy file; or turn MIG off: "
                    + "nvidia-smi -mig 0"
            );
    }

    static int MajorOf(string version) =>
        int.TryParse(version.Split('.')[0], NumberStyles.None, CultureInfo.InvariantCulture, out var major)
            ? major
            : int.MaxValue;
}
