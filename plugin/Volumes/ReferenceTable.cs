// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Text.Json;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Volumes;

/// <summary>The references to private directories, by directory: in memory, and each change on disk before it
/// counts.</summary>
sealed class ReferenceTable(StateLayout layout)
{
    /// <summary>Records have this many bytes or a multiple, so that a shorter one covers a longer one.</summary>
    const int RecordSize = 1024;

    readonly ConcurrentDictionary<string, MountReference> _all = new(StringComparer.Ordinal);

    /// <summary>Null for a directory without a reference.</summary>
    public MountReference? Find(string dirId) => _all.GetValueOrDefault(dirId);

    /// <summary>Directories with a reference, as a copy.</summary>
    public IReadOnlyCollection<string> Directories => [.. _all.Keys];

    /// <summary>Whether the container has started again since, with another directory for the same volume.</summary>
    public bool IsSuperseded(MountReference reference) =>
        _all.Values.Any(other =>
            other.Container == reference.Container
            && other.Volume == reference.Volume
            && other.Pid != reference.Pid
            && other.MountedAt > reference.MountedAt
        );

    /// <summary>Reads what an earlier process left. A file that cannot be read is as good as none: its directory then
    /// belongs to no container.</summary>
    public void Load()
    {
        layout.Prepare();
        foreach (var path in Directory.EnumerateFiles(layout.References))
        {
            if (path.EndsWith(".json", StringComparison.Ordinal) && Read(path) is { } reference)
                _all.TryAdd(Path.GetFileNameWithoutExtension(path), reference);
            else
                File.Delete(path);
        }
    }

    /// <summary>Throws <see cref="IOException"/> if it cannot be written, and then changes nothing in memory.</summary>
    public void Set(string dirId, MountReference reference)
    {
        Write(
            layout.Reference(dirId),
            JsonSerializer.SerializeToUtf8Bytes(reference, StateJson.Default.MountReference)
        );
        _all[dirId] = reference;
    }

    /// <summary>In place, at once: a process that is killed leaves the old record or the new one, for the kernel writes
    /// a page whole, and after a power cut none of it is true. To replace the file by another makes file systems write
    /// to the disk first, while a container waits.</summary>
    static void Write(string path, byte[] json)
    {
        using var file = new FileStream(
            path,
            new FileStreamOptions
            {
                Mode = FileMode.OpenOrCreate,
                Access = FileAccess.Write,
                UnixCreateMode = FileModes.Owner,
                BufferSize = 0,
            }
        );
        var record = new byte[(Math.Max(json.Length, file.Length) + RecordSize - 1) / RecordSize * RecordSize];
        record.AsSpan().Fill((byte)' '); // which JSON allows behind
        json.CopyTo(record, 0);
        file.Write(record);
    }

    /// <summary>Does nothing if there is none.</summary>
    public void Remove(string dirId)
    {
        _all.TryRemove(dirId, out _);
        File.Delete(layout.Reference(dirId));
    }

    static MountReference? Read(string path)
    {
        try
        {
            return
                JsonSerializer.Deserialize(File.ReadAllBytes(path), StateJson.Default.MountReference)
                    is { MountId: not null, Volume: not null, Boot: not null } record
                ? record
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
