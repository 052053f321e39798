// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;

namespace Runai.GpuMemory.Common;

/// <summary>Text of any length, made to fit. Every message and every line of the log goes through here: engines up to
/// 26 stop reading a plugin's output at a line above 64 KiB.</summary>
static class Bounded
{
    /// <summary>Of a message for the user's terminal, and of a line of the log, in UTF-8.</summary>
    public const int MaxBytes = 8 << 10;
    const int MaxNames = 5;
    const char Ellipsis = '…';

    /// <summary>The text itself where it fits, else its beginning and an ellipsis.</summary>
    public static string Text(string text, int maxBytes = MaxBytes)
    {
        if (text.Length <= maxBytes / 3 || Encoding.UTF8.GetByteCount(text) <= maxBytes)
            return text;
        var end = 0;
        var left = maxBytes - Encoding.UTF8.GetByteCount([Ellipsis]);
        foreach (var rune in text.EnumerateRunes())
        {
            if ((left -= rune.Utf8SequenceLength) < 0)
                break;
            end += rune.Utf16SequenceLength;
        }
        return text[..end] + Ellipsis;
    }

    /// <summary>Five of them, and how many more there are: <c>a, b, c, d, e and 19,995 more</c>.</summary>
    public static string List(IReadOnlyCollection<string> names, string separator = ", ") =>
        string.Join(separator, names.Take(MaxNames))
        + (
            names.Count > MaxNames
                ? string.Create(CultureInfo.InvariantCulture, $" and {names.Count - MaxNames:N0} more")
                : ""
        );
}
