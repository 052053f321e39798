// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Common;

/// <summary>Writes beside, then renames: a reader sees the old content or the new one, whole.</summary>
static class AtomicFile
{
    /// <summary>Replaces or creates the file. On failure it throws what <see cref="FileStream"/> and <see cref="File"/>
    /// throw, and leaves nothing beside.</summary>
    /// <param name="path">The file.</param>
    /// <param name="content">All of it.</param>
    /// <param name="mode">Its permissions.</param>
    /// <param name="isLasting">It is on the disk when this returns, so that a power cut leaves no empty file either:
    /// milliseconds. Else only a reader is served, and nothing of it may be believed after a reboot.</param>
    /// <param name="beside">The file that is renamed, where the path has one writer at a time: what is left of a write
    /// that was cut short is then written over. By default a name of its own.</param>
    public static void Write(
        string path,
        ReadOnlySpan<byte> content,
        UnixFileMode mode,
        bool isLasting = true,
        string? beside = null
    )
    {
        beside ??= $"{path}.{Guid.NewGuid():N}~";
        try
        {
            using (
                var file = new FileStream(
                    beside,
                    new FileStreamOptions
                    {
                        Mode = FileMode.Create,
                        Access = FileAccess.Write,
                        UnixCreateMode = mode,
                    }
                )
            )
            {
                file.Write(content);
                if (isLasting)
                    file.Flush(flushToDisk: true);
            }
            File.SetUnixFileMode(beside, mode);
            File.Move(beside, path, overwrite: true);
            if (isLasting)
                DiskSync.Folder(Path.GetDirectoryName(path)!);
        }
        catch
        {
            File.Delete(beside);
            throw;
        }
    }
}
