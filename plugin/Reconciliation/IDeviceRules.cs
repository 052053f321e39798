// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Reconciliation;

/// <summary>What device nodes the kernel lets containers open.</summary>
interface IDeviceRules
{
    /// <summary>Whether a process may open any of NVIDIA's nodes; null where that cannot be found out. Never
    /// throws.</summary>
    bool? AllowGpus(int pid);
}
