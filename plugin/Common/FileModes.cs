// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Common;

/// <summary>Modes of the files that the plugin makes. Containers may run as any user, hence the readable
/// ones.</summary>
static class FileModes
{
    public const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    public const UnixFileMode OwnerDirectory = Owner | UnixFileMode.UserExecute;
    public const UnixFileMode Readable = Owner | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
    public const UnixFileMode ReadableDirectory =
        Readable | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
}
