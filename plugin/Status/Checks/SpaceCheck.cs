// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>Room for the private directories of new containers, which are on the disk of the engine's data
/// folder.</summary>
sealed class SpaceCheck(StateLayout layout) : ICheck
{
    /// <summary>Several hundred containers', of some KiB and six files each, and a new version of the shim.</summary>
    internal const long LeastBytes = 64 << 20,
        LeastFiles = 4096;

    public IEnumerable<Problem> Find(EngineInfo? engine)
    {
        if (FileSystemRoom.Of(layout.State) is not { } room)
            yield break;
        var what = room switch
        {
            { FreeBytes: < LeastBytes } => $"less than {LeastBytes >> 20} MiB",
            { FreeFiles: < LeastFiles } => $"room for less than {LeastFiles} files (inodes)",
            _ => null,
        };
        if (what is not null)
            yield return new(
                "space",
                null,
                $"the disk of the engine's data folder has {what} left: without room no container with a quota starts",
                "make room there; docker system df shows what takes it, docker system prune removes what is not in use"
            );
    }
}
