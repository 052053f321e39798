// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Words;

/// <summary>Docker's options that stand before the command: which engine is called, and how.</summary>
/// <param name="Words">All but <c>--config</c>.</param>
/// <param name="Config">The folder that <c>--config</c> names; null: no such option.</param>
sealed record GlobalOptions(IReadOnlyList<byte[]> Words, string? Config)
{
    /// <summary>No options: docker's defaults and environment.</summary>
    public static GlobalOptions None { get; } = new([], null);

    static readonly string[] WithValue =
    [
        "--config",
        "--context",
        "--host",
        "--log-level",
        "--tlscacert",
        "--tlscert",
        "--tlskey",
    ];

    /// <summary>Whether the value of this option is the next word.</summary>
    public static bool TakesNext(byte[] word) =>
        word.Begins("--"u8)
            ? word.IsOneOf(WithValue)
            : word.Length > 1
                && ShortOptions.TakesNext(word, letter => letter is not ((byte)'c' or (byte)'H' or (byte)'l'));

    /// <summary>Takes <c>--config</c> out, in both of its spellings.</summary>
    /// <param name="words">Those before the command.</param>
    public static GlobalOptions Read(IReadOnlyList<byte[]> words)
    {
        var kept = new List<byte[]>();
        string? config = null;
        for (var n = 0; n < words.Count; n++)
        {
            var takesNext = TakesNext(words[n]) && n + 1 < words.Count;
            if (words[n].Is("--config"u8) && takesNext)
                config = words[++n].Text();
            else if (words[n].Begins("--config="u8))
                config = words[n].Text()["--config=".Length..];
            else
            {
                kept.Add(words[n]);
                if (takesNext)
                    kept.Add(words[++n]);
            }
        }

        return new(kept, config);
    }
}
