// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Where this program is, and where the shell looks for programs.</summary>
/// <param name="Program">Its path; null: not known.</param>
/// <param name="Folders">Those of PATH, in their order.</param>
sealed record Installation(string? Program, IReadOnlyList<string> Folders)
{
    const UnixFileMode Executable = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>Nothing is known.</summary>
    public static Installation None { get; } = new(null, []);

    /// <summary>This process's.</summary>
    public static Installation OfProcess() =>
        new(
            Environment.ProcessPath,
            Variables.Get("PATH")?.Text().Split(':', StringSplitOptions.RemoveEmptyEntries) ?? []
        );

    /// <summary>The first program of a name in PATH, or the path itself; null: there is none.</summary>
    public string? Find(string name) =>
        (
            name.Contains('/', StringComparison.Ordinal) ? [name] : Folders.Select(folder => Path.Combine(folder, name))
        ).FirstOrDefault(IsExecutable);

    /// <summary>Whether a file is this program, or a copy of it.</summary>
    public bool IsSelf(string path)
    {
        try
        {
            return path == Program
                || Program is not null
                    && Length(path) == Length(Program)
                    && File.ReadAllBytes(path).AsSpan().SequenceEqual(File.ReadAllBytes(Program));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    static long Length(string path) =>
        new FileInfo(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path).Length;

    static bool IsExecutable(string path) =>
        File.Exists(path) && (File.GetUnixFileMode(path) & Executable) != UnixFileMode.None;
}
