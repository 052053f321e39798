// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>Tells which process opens the shim in a private directory: a program in a container, before it
/// runs.</summary>
interface IShimWatch
{
    /// <summary>From now on.</summary>
    /// <param name="directory">As the plugin sees it.</param>
    void Add(string directory);

    /// <summary>No more.</summary>
    void Remove(string directory);

    /// <summary>Waits for the next openings. Null where the kernel does not tell.</summary>
    IReadOnlyList<ShimOpening>? Wait();
}
