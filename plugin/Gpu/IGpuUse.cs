// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>Who uses the host's GPUs.</summary>
interface IGpuUse
{
    /// <summary>Empty where NVML does not tell. May take as long as the driver does.</summary>
    IReadOnlyList<GpuProcess> Read();
}
