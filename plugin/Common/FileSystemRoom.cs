// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Common;

/// <summary>What is left on a file system, by statvfs(3).</summary>
/// <param name="FreeBytes">For whoever is not root.</param>
/// <param name="FreeFiles">Inodes; null where the file system makes them as it needs them.</param>
readonly unsafe partial record struct FileSystemRoom(long FreeBytes, long? FreeFiles)
{
    /// <summary>Null where there is no such path.</summary>
    public static FileSystemRoom? Of(string path)
    {
        Buffer buffer;
        if (Call(path, &buffer) != 0)
            return null;
        return new(
            Bounded(buffer.AvailableBlocks * (UInt128)buffer.FragmentBytes),
            buffer.Files == 0 ? null : Bounded(buffer.AvailableFiles)
        );
    }

    static long Bounded(UInt128 number) => number > long.MaxValue ? long.MaxValue : (long)number;

    /// <summary>struct statvfs of 64-bit Linux, with room for what is behind.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 256)]
    struct Buffer
    {
        public ulong BlockBytes,
            FragmentBytes,
            Blocks,
            FreeBlocks,
            AvailableBlocks,
            Files,
            FreeFiles,
            AvailableFiles;
    }

    [LibraryImport("libc", EntryPoint = "statvfs", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Call(string path, Buffer* buffer);
}
