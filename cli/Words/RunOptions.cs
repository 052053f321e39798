// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Words;

/// <summary>Which options of <c>docker run</c> and <c>docker create</c> take a value, of any Docker from 20.10 to
/// 28.</summary>
static class RunOptions
{
    /// <summary>Those that take none. An option that is not here takes the next word.</summary>
    public static readonly string[] Switches =
    [
        "--detach",
        "--disable-content-trust",
        "--help",
        "--init",
        "--interactive",
        "--no-healthcheck",
        "--oom-kill-disable",
        "--privileged",
        "--publish-all",
        "--quiet",
        "--read-only",
        "--rm",
        "--sig-proxy",
        "--tty",
        "--use-api-socket",
    ];

    /// <summary>Those of one letter that take none.</summary>
    public const string ShortSwitches = "ditPq";

    /// <summary>Whether the value of this option is the next word.</summary>
    /// <param name="word">Begins with a dash, and has more.</param>
    public static bool TakesNext(byte[] word)
    {
        if (!word.Begins("--"u8))
            return ShortOptions.TakesNext(
                word,
                letter => ShortSwitches.Contains((char)letter, StringComparison.Ordinal)
            );
        return !word.Contains((byte)'=') && !word.IsOneOf(Switches);
    }
}
