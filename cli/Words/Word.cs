// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.Cli.Words;

/// <summary>Words of a command line are bytes, as the kernel hands them over: docker gets them unchanged.</summary>
static class Word
{
    /// <summary>The UTF-8 of a text.</summary>
    public static byte[] Of(string text) => Encoding.UTF8.GetBytes(text);

    /// <summary>Whether it is this, byte for byte.</summary>
    public static bool Is(this byte[] word, ReadOnlySpan<byte> text) => word.AsSpan().SequenceEqual(text);

    /// <summary>Whether it is one of these texts, which are ASCII.</summary>
    public static bool IsOneOf(this byte[] word, string[] texts)
    {
        foreach (var text in texts)
        {
            if (word.Length == text.Length && Encoding.ASCII.GetString(word) == text)
                return true;
        }

        return false;
    }

    /// <summary>Whether it begins with this, byte for byte.</summary>
    public static bool Begins(this byte[] word, ReadOnlySpan<byte> text) => word.AsSpan().StartsWith(text);

    /// <summary>For people; bytes that are not UTF-8 are replaced.</summary>
    public static string Text(this byte[] word) => Encoding.UTF8.GetString(word);
}
