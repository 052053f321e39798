// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>The user's configuration of docker with the headers of a question added, in a folder that only he can read.
/// Contexts, certificates and the rest are links.</summary>
sealed class QuestionConfiguration : IDisposable
{
    readonly string _user;

    /// <param name="config">The folder that <c>--config</c> names; null: that of the environment.</param>
    public QuestionConfiguration(string? config)
    {
        var home = Variables.Get("HOME")?.Text() ?? "/nonexistent";
        _user = Path.GetFullPath(config ?? Variables.Get("DOCKER_CONFIG")?.Text() ?? $"{home}/.docker");
        Folder = Directory.CreateTempSubdirectory("runai-docker-").FullName;
        if (!Directory.Exists(_user))
            return;
        foreach (var path in Directory.EnumerateFileSystemEntries(_user))
        {
            var name = Path.GetFileName(path);
            if (name != "config.json" && name[0] != '.')
                File.CreateSymbolicLink(Path.Combine(Folder, name), path);
        }
    }

    /// <summary>For DOCKER_CONFIG.</summary>
    public string Folder { get; }

    /// <summary>Writes config.json. Go reads the members of an object in turn, so HttpHeaders that the user has himself
    /// are added to these.</summary>
    public void Write(string begin)
    {
        var file = Path.Combine(_user, "config.json");
        ReadOnlySpan<byte> rest = "{}"u8;
        if (File.Exists(file) && File.ReadAllBytes(file) is { Length: > 0 } own)
            rest = own;
        rest = rest[(rest.IndexOf((byte)'{') + 1)..];
        var comma = rest.Contains((byte)':') ? ","u8 : [];
        File.WriteAllBytes(Path.Combine(Folder, "config.json"), [.. Word.Of(begin), .. comma, .. "\n"u8, .. rest]);
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
