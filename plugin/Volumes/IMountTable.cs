// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>What processes have mounted, by the kernel's word.</summary>
interface IMountTable
{
    /// <summary>Of the plugin itself, one by one.</summary>
    IEnumerable<MountEntry> Own();

    /// <summary>Of another process's mount namespace, also where the process itself sees only a part of it; empty when
    /// it is gone, <see cref="MountEntry.Unreadable"/> where they cannot be read. Ends with
    /// <see cref="MountEntry.More"/> where it is not whole.</summary>
    IReadOnlyList<MountEntry> OfProcess(int pid);

    /// <summary>The same one by one, for who needs none of them for longer: then all of them.</summary>
    IEnumerable<MountEntry> OneByOne(int pid);

    /// <summary>Of all mount namespaces of this host, one by one, with a process that is in it.</summary>
    IEnumerable<(int Pid, IEnumerable<MountEntry> Mounts)> All();
}
