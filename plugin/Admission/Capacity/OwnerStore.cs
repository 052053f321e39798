// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Text;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Admission.Capacity;

/// <summary>Which TLS user started which container: the one thing about a container that Docker does not keep. Losing
/// or corrupting this small file is harmless: containers without a recorded owner are attributed to no user. A line
/// holds an ID, a blank, and the name, percent-encoded: it may have line ends in it.</summary>
sealed class OwnerStore
{
    readonly string _path;
    readonly ConcurrentDictionary<string, string> _users = new(StringComparer.Ordinal);
    readonly Lock _lock = new();

    public OwnerStore(string path)
    {
        _path = path;
        if (!File.Exists(path))
            return;
        foreach (var line in File.ReadLines(path, Encoding.UTF8))
            if (line.Split(' ', 2) is [{ Length: 64 } id, { Length: > 0 } user])
                _users[id] = Uri.UnescapeDataString(user);
    }

    /// <summary>The TLS name; null if no caller with a name is known to have started it.</summary>
    public string? Find(string id) => _users.GetValueOrDefault(id);

    /// <summary>An empty name removes the line. Throws <see cref="IOException"/> if the file cannot be
    /// written.</summary>
    public void Set(string id, string user)
    {
        // Who starts another user's container answers for it from then on.
        var changed = user.Length == 0 ? _users.TryRemove(id, out _) : Find(id) != user;
        if (!changed)
            return;
        if (user.Length > 0)
            _users[id] = user;
        Save();
    }

    /// <summary>Drops all other containers, and writes the file if there were any.</summary>
    public void KeepOnly(Func<string, bool> keep)
    {
        var gone = _users.Keys.Where(id => !keep(id)).ToArray();
        foreach (var id in gone)
            _users.TryRemove(id, out _);
        if (gone.Length > 0)
            Save();
    }

    void Save()
    {
        lock (_lock)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_path)!);
            var lines = string.Concat(_users.Select(u => $"{u.Key} {Uri.EscapeDataString(u.Value)}\n"));
            AtomicFile.Write(
                _path,
                Encoding.UTF8.GetBytes(lines),
                FileModes.Readable,
                isLasting: false,
                beside: _path + ".new"
            );
        }
    }
}
