// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>One <c>--device</c>.</summary>
sealed record DeviceMapping
{
    /// <summary>A device node, a link to one, or a folder: then all nodes in it.</summary>
    public string? PathOnHost { get; init; }
    public string? PathInContainer { get; init; }
    public string? CgroupPermissions { get; init; }
}
