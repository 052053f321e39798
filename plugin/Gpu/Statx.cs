// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Gpu;

/// <summary>statx(2): .NET does not tell the numbers of device nodes. Returns 0, or -1 with errno, which means missing
/// here.</summary>
static unsafe partial class Statx
{
    const int AtFdcwd = -100,
        NoFollow = 0x100,
        EmptyPath = 0x1000;
    const uint Basic = 0x7ff;

    /// <summary>Does not follow a link in the last place.</summary>
    public static (NodeType Type, uint Major, uint Minor) Stat(string path)
    {
        Buffer buffer;
        if (Call(AtFdcwd, path, NoFollow, Basic, &buffer) != 0)
            return (NodeType.Missing, 0, 0);
        var type = (buffer.Mode & 0xf000) switch
        {
            0x2000 => NodeType.CharacterDevice,
            0x6000 => NodeType.BlockDevice,
            0x4000 => NodeType.Directory,
            0xa000 => NodeType.Link,
            _ => NodeType.Other,
        };
        return (type, buffer.Major, buffer.Minor);
    }

    /// <summary>What makes a file itself, under whatever name; null where there is none.</summary>
    public static (uint Major, uint Minor, ulong Node)? Identity(string path) => Identity(AtFdcwd, path, NoFollow);

    /// <summary>Of an open file.</summary>
    public static (uint Major, uint Minor, ulong Node)? Identity(int file) => Identity(file, "", EmptyPath);

    static (uint Major, uint Minor, ulong Node)? Identity(int directory, string path, int flags)
    {
        Buffer buffer;
        return Call(directory, path, flags, Basic, &buffer) == 0
            ? (buffer.DeviceMajor, buffer.DeviceMinor, buffer.Node)
            : null;
    }

    /// <summary>struct statx of Linux, the same on all architectures.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    struct Buffer
    {
        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(32)]
        public ulong Node;

        [FieldOffset(128)]
        public uint Major;

        [FieldOffset(132)]
        public uint Minor;

        [FieldOffset(136)]
        public uint DeviceMajor;

        [FieldOffset(140)]
        public uint DeviceMinor;
    }

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Call(int directory, string path, int flags, uint mask, Buffer* buffer);
}
