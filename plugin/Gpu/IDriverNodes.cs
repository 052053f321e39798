// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>Gives NVML the driver's device nodes where it looks for them.</summary>
interface IDriverNodes
{
    void Provide();
}
