// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Tables;

/// <summary>What standard output leads to.</summary>
/// <param name="IsTerminal">Whether a table can be redrawn in place.</param>
/// <param name="HasColours">Whether it has colours, and the user wants them.</param>
/// <param name="Height">How many lines it shows now.</param>
sealed record Terminal(bool IsTerminal, bool HasColours, Func<int> Height)
{
    /// <summary>No terminal: a file or a pipe.</summary>
    public static Terminal None { get; } = new(false, false, () => int.MaxValue);

    /// <summary>Standard output's. https://no-color.org has the meaning of NO_COLOR.</summary>
    public static Terminal OfOutput()
    {
        if (Console.IsOutputRedirected)
            return None;
        var hasColours = Variables.Get("NO_COLOR") is null && Variables.Get("TERM")?.Text() is not (null or "dumb");
        return new(true, hasColours, () => Libc.LinesOfTerminal(1));
    }

    /// <summary>A frame in place of the one before. Lines are not broken while it is written, so that one line is one
    /// row of the screen. Those for which there is no room are counted in the last one.</summary>
    public string Frame(IReadOnlyList<string> lines)
    {
        var room = Math.Max(2, Height() - 1);
        if (lines.Count > room)
            lines = [.. lines.Take(room - 1), $"... {lines.Count - room + 1} more"];
        return $"\e[?7l\e[H{string.Concat(lines.Select(line => $"{line}\e[K\n"))}\e[J\e[?7h";
    }

    /// <summary>What the first frame begins with: an empty screen.</summary>
    public const string Clear = "\e[2J\e[H";
}
