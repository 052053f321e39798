// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Microsoft.Win32.SafeHandles;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Volumes;

/// <summary>What programs load, on the file system of the private directories, so that these can have it as hard links:
/// the shim and its quiet libraries. A folder a version, whose files are never changed once they are there: programs
/// run from them.</summary>
sealed class ShimStore(StateLayout layout)
{
    readonly Lock _lock = new();
    ShimFiles? _current;

    /// <summary>Open as long as this process lives: so no container gets a lease on what all share, for which the
    /// programs of others would wait.</summary>
    SafeFileHandle[] _held = [];

    /// <summary>Which one new private directories get; null before the first one.</summary>
    public string? CurrentVersion => Path.GetFileName(Volatile.Read(ref _current)?.Folder);

    /// <summary>Which one new private directories get, also before the first one; null where the plugin's image has
    /// none.</summary>
    public string? ServedVersion => CurrentVersion ?? (_image ??= VersionOf(layout.Shim));

    string? _image;

    /// <summary>Of a shim wherever it is; null where there is none.</summary>
    public static string? VersionOf(string path) => ServedFile.TryRead(path) is { } content ? Version(content) : null;

    /// <summary>This plugin's files in the store. Throws <see cref="IOException"/> when there is no shim to copy or no
    /// room for it.</summary>
    public ShimFiles Current()
    {
        lock (_lock)
        {
            if (_current is not null && _current.Names.All(name => File.Exists(Path.Combine(_current.Folder, name))))
                return _current;
            var shim = File.ReadAllBytes(layout.Shim);
            var folder = Path.Combine(layout.Shims, Version(shim));
            StateLayout.MakeDirectory(folder, FileModes.OwnerDirectory);
            StateLayout.MakeDirectory(Path.Combine(folder, StateLayout.QuietName), FileModes.OwnerDirectory);
            string[] quiet = Directory.Exists(layout.Quiet) ? Directory.GetFiles(layout.Quiet) : [];
            _held =
            [
                Keep(Path.Combine(folder, StateLayout.ShimName), shim),
                .. quiet.Select(file => Keep(Path.Combine(folder, Quiet(file)), File.ReadAllBytes(file))),
            ];
            RemoveOthers(folder);
            return _current = new(folder, [StateLayout.ShimName, .. quiet.Select(Quiet)]);
        }
    }

    static string Quiet(string file) => Path.Combine(StateLayout.QuietName, Path.GetFileName(file));

    static SafeFileHandle Keep(string path, byte[] content)
    {
        if (ServedFile.TryOpen(path) is { } kept)
        {
            if (ServedFile.Read(kept).AsSpan().SequenceEqual(content))
                return kept;
            kept.Dispose();
        }
        AtomicFile.Write(path, content, FileModes.Readable);
        return ServedFile.TryOpen(path) ?? throw new IOException($"{path} cannot be opened");
    }

    /// <summary>Older versions live on in the private directories that have them.</summary>
    void RemoveOthers(string current)
    {
        foreach (var folder in Directory.GetDirectories(layout.Shims))
            if (folder != current)
                Directory.Delete(folder, recursive: true);
    }

    /// <summary>Length and FNV-1a: tells versions apart; no attacker chooses the content.</summary>
    static string Version(byte[] content)
    {
        var hash = 14695981039346656037UL;
        foreach (var one in content)
            hash = (hash ^ one) * 1099511628211UL;
        return string.Create(CultureInfo.InvariantCulture, $"{content.Length}-{hash:x16}");
    }
}
