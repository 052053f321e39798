// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>In which containers processes are, by the kernel's word.</summary>
interface IProcessCgroups
{
    /// <summary>Whether the process is in the control group of this container. False where the kernel does not show
    /// it.</summary>
    bool IsInContainer(int pid, string container);

    /// <summary>The containers whose control groups the process is in, the outer one first: what has the form of an ID
    /// in their paths.</summary>
    IReadOnlyList<string> ContainersOf(int pid);
}
