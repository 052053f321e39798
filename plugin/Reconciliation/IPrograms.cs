// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Reconciliation;

/// <summary>What the programs of a container have loaded, by the kernel's word.</summary>
interface IPrograms
{
    /// <summary>Looks at a container's first process and at those that it began.</summary>
    /// <returns>The file of one that runs without the shim although its loader loads what <c>/etc/ld.so.preload</c>
    /// names; null for none.</returns>
    string? FindWithoutShim(int pid);
}
