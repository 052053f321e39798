// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Words;

/// <summary>Options of one letter, which may stand in one word: -it, -dit, -eNAME.</summary>
static class ShortOptions
{
    /// <summary>Whether the word leaves the value of its last letter to the next word.</summary>
    /// <param name="word">Begins with one dash, and has more.</param>
    /// <param name="isSwitch">The letters that take no value. What follows another letter is its value.</param>
    public static bool TakesNext(byte[] word, Func<byte, bool> isSwitch)
    {
        var letter = 1;
        while (letter < word.Length && isSwitch(word[letter]))
            letter++;
        return letter == word.Length - 1;
    }
}
