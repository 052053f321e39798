// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;

namespace Runai.GpuMemory.Common;

/// <summary>Which characters of a text that others wrote may reach a terminal or a log. The wrapper is built with this
/// file too.</summary>
static class PrintableRune
{
    /// <summary>The character, or its escape where it is not printable: <c>\u001b</c>, <c>\U000e0001</c>.</summary>
    public static string Text(Rune rune) =>
        IsPrintable(rune) ? rune.ToString()
        : rune.IsBmp ? $"\\u{rune.Value:x4}"
        : $"\\U{rune.Value:x8}";

    /// <summary>Not so is what moves the cursor, turns the direction of writing, or looks like nothing.</summary>
    static bool IsPrintable(Rune rune) =>
        rune.Value == ' '
        || Rune.GetUnicodeCategory(rune)
            is not (
                UnicodeCategory.Control
                or UnicodeCategory.Format
                or UnicodeCategory.Surrogate
                or UnicodeCategory.PrivateUse
                or UnicodeCategory.OtherNotAssigned
                or UnicodeCategory.SpaceSeparator
                or UnicodeCategory.LineSeparator
                or UnicodeCategory.ParagraphSeparator
                or UnicodeCategory.NonSpacingMark
                or UnicodeCategory.EnclosingMark
            );
}
