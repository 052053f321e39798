// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>What a path on the host leads to.</summary>
enum DevicePathKind
{
    /// <summary>To no GPU node, or nowhere.</summary>
    NotGpu,

    /// <summary>To a GPU node, or to a directory that holds one.</summary>
    Gpu,

    /// <summary>The plugin cannot see that part of the host (anything but <c>/dev</c>, <c>/run</c> and <c>/usr</c>), or
    /// the tree is too large to search.</summary>
    Unknown,
}
