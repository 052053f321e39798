// SPDX-License-Identifier: Apache-2.0
using System.Buffers;
using System.Text;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>The version of NVIDIA's container toolkit, without running it. Its programs are Go programs, and have the
/// flags of their linking in them (<c>go version -m</c>), among those the version. Programs that were built otherwise
/// come with a libnvidia-container of the same version or a newer one, by their packages.</summary>
/// <param name="usr">The host's /usr, as the plugin sees it.</param>
sealed class ToolkitVersion(string usr)
{
    static readonly string[] Programs =
    [
        "nvidia-container-runtime-hook",
        "nvidia-container-runtime",
        "nvidia-ctk",
        "nvidia-container-toolkit",
    ];
    static readonly string[] ProgramFolders = ["bin", "local/bin", "local/nvidia/toolkit"];
    static readonly string[] LibraryFolders =
    [
        "lib/x86_64-linux-gnu",
        "lib/aarch64-linux-gnu",
        "lib64",
        "lib",
        "local/nvidia/toolkit",
    ];

    static readonly SearchValues<char> OfVersions = SearchValues.Create("0123456789.");

    const string Library = "libnvidia-container.so.";
    const int MaxVersionLength = 32,
        ChunkBytes = 1 << 20,
        MaxBytes = 64 << 20;

    static readonly byte[] Flag = Encoding.ASCII.GetBytes("/nvidia-container-toolkit/internal/info.version=");

    /// <summary>By path, the programs that were read, and what they said.</summary>
    readonly Dictionary<string, (long Length, DateTime Written, Version? Version)> _read = [];

    /// <summary>Reads a program only if it changed. Null where there is no toolkit, or it does not say.</summary>
    public Version? Find() =>
        Files(ProgramFolders, Programs).Select(OfProgram).FirstOrDefault(version => version is not null)
        ?? LibraryFolders
            .Select(folder => Path.Combine(usr, folder))
            .Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateFiles(folder, Library + "*"))
            .Select(path => Parse(Path.GetFileName(path)[Library.Length..]))
            .Where(version => version is { Build: >= 0 })
            .Max();

    IEnumerable<string> Files(string[] folders, string[] names) =>
        from folder in folders
        from name in names
        select Path.Combine(usr, folder, name);

    Version? OfProgram(string path)
    {
        var file = new FileInfo(path);
        if (!file.Exists || file.LinkTarget is not null || file.Length is 0 or > MaxBytes)
            return null;
        var (length, written) = (file.Length, file.LastWriteTimeUtc);
        if (_read.TryGetValue(path, out var read) && (read.Length, read.Written) == (length, written))
            return read.Version;
        var version = VersionIn(path);
        _read[path] = (length, written, version);
        return version;
    }

    /// <summary>A chunk at a time, with as much of the next as a flag is long.</summary>
    static Version? VersionIn(string path)
    {
        var buffer = new byte[ChunkBytes + Flag.Length + MaxVersionLength];
        using var file = File.OpenHandle(path);
        for (long at = 0; at < MaxBytes; at += ChunkBytes)
        {
            var length = RandomAccess.Read(file, buffer, at);
            // One that begins behind the chunk is whole in the next.
            if (buffer.AsSpan(0, Math.Min(length, ChunkBytes + Flag.Length - 1)).IndexOf(Flag) is >= 0 and var found)
            {
                var behind = buffer.AsSpan((found + Flag.Length)..length);
                return Parse(Encoding.ASCII.GetString(behind[..Math.Min(behind.Length, MaxVersionLength)]));
            }
            if (length <= ChunkBytes)
                return null;
        }
        return null;
    }

    /// <summary><c>1.17.8</c>, also with <c>-rc.1</c> and anything else behind it.</summary>
    static Version? Parse(string text)
    {
        var end = text.AsSpan().IndexOfAnyExcept(OfVersions);
        return Version.TryParse((end < 0 ? text : text[..end]).Trim('.'), out var version) ? version : null;
    }
}
