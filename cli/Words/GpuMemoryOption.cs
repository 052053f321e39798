// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Words;

/// <summary>The option that this program adds to <c>docker run</c> and <c>docker create</c>.</summary>
static class GpuMemoryOption
{
    public const string Name = "--gpu-memory";

    /// <summary>What docker's help calls a value: in small letters.</summary>
    public const string HelpName = "quota";

    public const string Description = "GPU memory quota, such as 0.5 or 3g";

    public const string MissingValue = "--gpu-memory needs a value: a fraction such as 0.5, or a size such as 3g";

    /// <summary>Whether the word is the option, with or without its value.</summary>
    public static bool Is(byte[] word) => word.Is("--gpu-memory"u8) || HoldsValue(word);

    public static bool HoldsValue(byte[] word) => word.Begins("--gpu-memory="u8);

    /// <summary>The words of docker's that mean the same.</summary>
    public static IEnumerable<byte[]> Meaning(ReadOnlySpan<byte> value) =>
        ["-v"u8.ToArray(), "runai:/runai"u8.ToArray(), "--label"u8.ToArray(), [.. "gpu-memory="u8, .. value]];

    public static ReadOnlySpan<byte> ValueIn(byte[] word) => word.AsSpan("--gpu-memory=".Length);
}
