// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Reconciliation;

/// <summary>What the programs of a container have loaded, by the kernel's word.</summary>
interface IPrograms
{
    /// <summary>Looks at a container's first process and at those that it began.</summary>
    ProgramsSeen Look(int pid);
}

/// <summary>The programs of a container that the quota does not bind: files as its programs see them.</summary>
/// <param name="WithoutShim">One that runs without the shim although its loader loads what <c>/etc/ld.so.preload</c>
/// names; null for none.</param>
/// <param name="Unreached">The first, if all of them are static or of musl; else null.</param>
readonly record struct ProgramsSeen(string? WithoutShim, string? Unreached);
