// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Docker;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>What docker said to a check.</summary>
/// <param name="IsDone">Whether docker ended with exit code 0.</param>
/// <param name="Out">Its standard output.</param>
/// <param name="Error">Its standard error, or why it was not run to its end.</param>
sealed record DockerAnswer(bool IsDone, string Out, string Error)
{
    const int MaxWords = 300;

    /// <summary>Whether docker was ended because it took too long.</summary>
    public bool IsLate => Error.StartsWith(DockerProcess.Late, StringComparison.Ordinal);

    /// <summary>The error as one bounded line.</summary>
    public string Words => OneLine(Error is "" ? Out : Error);

    /// <summary>A text as one bounded line.</summary>
    public static string OneLine(string text)
    {
        var line = string.Join(' ', text.Split((char[])['\n', '\r'], StringSplitOptions.RemoveEmptyEntries));
        return line.Length <= MaxWords ? line : line[..MaxWords] + "…";
    }
}
