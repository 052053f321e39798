// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.Cli.Words;

/// <summary>The name and the words that this program was called with, as bytes. The strings that .NET hands over have
/// lost what is not UTF-8.</summary>
sealed record RawArguments(byte[] Program, byte[][] Words)
{
    /// <summary>Reads /proc/self/cmdline: words that each end with a NUL.</summary>
    /// <param name="count">How many words there are behind the program's name.</param>
    /// <exception cref="UserException">There is no /proc.</exception>
    public static RawArguments Read(int count)
    {
        byte[][] all;
        try
        {
            all = Split(File.ReadAllBytes("/proc/self/cmdline"));
        }
        catch (IOException)
        {
            throw new UserException("/proc is not mounted: the words of the command cannot be read");
        }

        // Under `dotnet FILE.dll` there are words of dotnet's before it.
        if (all.Length <= count)
            throw new UserException("/proc/self/cmdline has fewer words than the command");
        return new(all[^(count + 1)], all[^count..]);
    }

    /// <summary>The texts that each end with a NUL, without it. What follows the last NUL is dropped.</summary>
    public static byte[][] Split(ReadOnlySpan<byte> joined)
    {
        var words = new List<byte[]>();
        for (int end; (end = joined.IndexOf((byte)0)) >= 0; joined = joined[(end + 1)..])
            words.Add(joined[..end].ToArray());
        return [.. words];
    }
}
