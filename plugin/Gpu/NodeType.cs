// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>What a path is.</summary>
enum NodeType
{
    /// <summary>No such path, or any other error.</summary>
    Missing,

    /// <summary>A file, a socket or a pipe.</summary>
    Other,

    /// <summary>May contain device nodes.</summary>
    Directory,

    /// <summary>A symbolic link, wherever it leads.</summary>
    Link,

    /// <summary>As GPU nodes are: major and minor number say which device.</summary>
    CharacterDevice,

    /// <summary>A disk, or a partition.</summary>
    BlockDevice,
}
