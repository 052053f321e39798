// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>What is changed in a running container's own mounts.</summary>
interface IContainerMounts
{
    /// <summary>Makes a mount of a container private: it keeps what is mounted on it, whatever becomes of the plugin's
    /// mounts. Changes nothing where the process does not have at that place just this mount, of just this
    /// directory.</summary>
    /// <param name="pid">A process of the container.</param>
    /// <param name="mount">As its list has it.</param>
    /// <param name="directory">What must be mounted there, as the plugin sees it.</param>
    /// <returns>Null when done; else why not.</returns>
    Task<string?> MakePrivateAsync(int pid, MountEntry mount, string directory);
}
