// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Common;

/// <summary>Modes of the files that the plugin makes. Containers may run as any user, hence the readable
/// ones.</summary>
static class FileModes
{
    /// <summary>0600: what only the plugin reads, such as its references and volumes.</summary>
    public const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>0700: folders of the plugin, whatever the files in them are.</summary>
    public const UnixFileMode OwnerDirectory = Owner | UnixFileMode.UserExecute;

    /// <summary>0644: what containers read (the quota file, the shim), or people on the host.</summary>
    public const UnixFileMode Readable = Owner | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>0755: the private directory that a container has at <c>/runai</c>.</summary>
    public const UnixFileMode ReadableDirectory =
        Readable | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
}
