// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>Gives NVML the driver's device nodes where it looks for them.</summary>
interface IDriverNodes
{
    /// <summary>Links those that are missing; called before NVML is opened. Throws <see cref="IOException"/> or
    /// <see cref="UnauthorizedAccessException"/>.</summary>
    void Provide();
}
