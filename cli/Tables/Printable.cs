// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Runai.GpuMemory.Common;
using Wcwidth;

namespace Runai.GpuMemory.Cli.Tables;

/// <summary>Text that others wrote, made fit for one line of a terminal.</summary>
static class Printable
{
    /// <summary>What is not known.</summary>
    public const string Unknown = "-";

    /// <summary>The text with what is not printable escaped, as in <c>\u001b</c>; of none or an empty one the
    /// sign for what is not known.</summary>
    public static string Text(string? text) =>
        string.IsNullOrEmpty(text) ? Unknown : string.Concat(text.EnumerateRunes().Select(PrintableRune.Text));

    /// <summary>The same for a message of several lines, which stay lines.</summary>
    public static string Lines(string text) =>
        string.Join('\n', text.Split('\n').Select(line => line is "" ? "" : Text(line)));

    /// <summary>How many columns it has on a terminal: characters of East Asia have two.</summary>
    public static int Width(string printable) => printable.EnumerateRunes().Sum(Width);

    /// <summary>Cut to so many columns, the last one an ellipsis.</summary>
    public static string Cut(string printable, int columns)
    {
        if (Width(printable) <= columns)
            return printable;
        var cut = new StringBuilder();
        var width = 1;
        foreach (var rune in printable.EnumerateRunes())
        {
            width += Width(rune);
            if (width > columns)
                break;
            cut.Append(rune.ToString());
        }

        return cut.Append('…').ToString();
    }

    static int Width(Rune rune) => Math.Max(0, UnicodeCalculator.GetWidth(rune));
}
