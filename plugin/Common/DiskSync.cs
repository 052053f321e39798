// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Common;

/// <summary>Names on the disk: a file that was renamed has its new name after a power cut once its folder is written
/// too, which .NET does not open.</summary>
static class DiskSync
{
    /// <summary>Throws <see cref="IOException"/> where the folder cannot be written. A file system that has nothing to
    /// write there is passed over.</summary>
    public static void Folder(string path)
    {
        using var folder = ServedFile.TryOpen(path) ?? throw new IOException($"{path} cannot be opened");
        RandomAccess.FlushToDisk(folder);
    }
}
