using System.Globalization;

namespace Runai.GpuMemory.Volumes;

/// <summary>The shim on the file system of the private directories, so that these can have it as a hard link. A file a version, never changed once it is there:
/// programs run from it.</summary>
public sealed class ShimStore(StateLayout layout)
{
    readonly Lock _lock = new();
    string? _current;

    /// <summary>The path of this plugin's shim in the store. Throws <see cref="IOException"/> when there is none to copy or no room for it.</summary>
    public string Current()
    {
        lock (_lock)
        {
            if (_current is not null && File.Exists(_current)) return _current;
            var content = File.ReadAllBytes(layout.Shim);
            var folder = Path.Combine(layout.Shims, Version(content));
            var path = Path.Combine(folder, StateLayout.ShimName);
            StateLayout.MakeDirectory(folder, FileModes.OwnerDirectory);
            if (!IsThere(path, content)) StateLayout.WriteFile(path, content, FileModes.Readable);
            RemoveOthers(folder);
            return _current = path;
        }
    }

    static bool IsThere(string path, byte[] content) => File.Exists(path) && File.ReadAllBytes(path).AsSpan().SequenceEqual(content);

    /// <summary>Older versions live on in the private directories that have them.</summary>
    void RemoveOthers(string current)
    {
        foreach (var folder in Directory.GetDirectories(layout.Shims))
            if (folder != current) Directory.Delete(folder, recursive: true);
    }

    /// <summary>Length and FNV-1a: tells versions apart; nobody attacks here.</summary>
    static string Version(byte[] content)
    {
        var hash = 14695981039346656037UL;
        foreach (var one in content) hash = (hash ^ one) * 1099511628211UL;
        return string.Create(CultureInfo.InvariantCulture, $"{content.Length}-{hash:x16}");
    }
}
