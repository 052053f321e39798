// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.Common;

/// <summary>Text that others wrote, made fit for one line of a terminal or of a log: bounded, and without control,
/// format or unpaired characters.</summary>
static class Quoted
{
    /// <summary>The default length at which a text is cut, in characters.</summary>
    public const int MaxLength = 64;

    /// <summary>Bare where it is plain (<c>0.5</c>, <c>/runai</c>), else in double quotes with what is not printable
    /// escaped.</summary>
    public static string Text(string? text, int maxLength = MaxLength)
    {
        text ??= "";
        if (text.Length <= maxLength && text.All(IsPlain))
            return text;
        var line = new StringBuilder("\"", maxLength + 8);
        var shown = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            if (shown++ == maxLength)
                return line.Append("…\"").ToString();
            Append(line, rune);
        }
        return line.Append('"').ToString();
    }

    static void Append(StringBuilder line, Rune rune)
    {
        if (rune.Value is '"' or '\\')
            line.Append('\\').Append((char)rune.Value);
        else
            line.Append(PrintableRune.Text(rune));
    }

    static bool IsPlain(char c) =>
        char.IsAsciiLetterOrDigit(c) || c is '.' or ',' or '%' or '+' or '-' or '_' or '/' or ':' or '@' or '=' or '*';
}
