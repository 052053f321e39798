// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>What <c>HEAD /containers/{id}/archive</c> says of a path.</summary>
/// <param name="Mode">As Go's os.FileMode.</param>
/// <param name="LinkTarget">Of a link, where it leads in the end: an absolute path in the container; empty for
/// everything else.</param>
sealed record PathStat(uint Mode, string? LinkTarget = null)
{
    /// <summary>A symbolic link: bit 27, os.ModeSymlink.</summary>
    public bool IsLink => (Mode & 1 << 27) != 0;

    /// <summary>Bit 31, os.ModeDir.</summary>
    public bool IsDirectory => (Mode & 1U << 31) != 0;

    /// <summary>Whether it is a folder in which a user cannot reach files: its owner, who may run without the
    /// capabilities of root, its group, of which every user without one of his own is, or the others.</summary>
    public bool IsClosed => IsDirectory && (Mode & SearchForAll) != SearchForAll;

    const uint SearchForAll = 0b001_001_001;
}
