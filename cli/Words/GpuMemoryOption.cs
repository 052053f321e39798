// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Words;

/// <summary>The option that this program adds to <c>docker run</c> and <c>docker create</c>.</summary>
static class GpuMemoryOption
{
    /// <summary>As it is typed.</summary>
    public const string Name = "--gpu-memory";

    /// <summary>What docker's help calls a value: in small letters.</summary>
    public const string HelpName = "quota";

    /// <summary>One line for help, completion and man page.</summary>
    public const string Description = "GPU memory quota, such as 0.5 or 3g";

    /// <summary>What the user reads where the option is the last word.</summary>
    public const string MissingValue = "--gpu-memory needs a value: a fraction such as 0.5, or a size such as 3g";

    /// <summary>Whether the word is the option, with or without its value.</summary>
    public static bool Is(byte[] word) => word.Is("--gpu-memory"u8) || HoldsValue(word);

    /// <summary>Whether the value is in the same word, behind <c>=</c>.</summary>
    public static bool HoldsValue(byte[] word) => word.Begins("--gpu-memory="u8);

    /// <summary>The words of docker's that mean the same.</summary>
    public static IEnumerable<byte[]> Meaning(ReadOnlySpan<byte> value) =>
        ["-v"u8.ToArray(), "runai:/runai"u8.ToArray(), "--label"u8.ToArray(), [.. "gpu-memory="u8, .. value]];

    /// <summary>The value of a word that holds it; may be empty.</summary>
    public static ReadOnlySpan<byte> ValueIn(byte[] word) => word.AsSpan("--gpu-memory=".Length);
}
