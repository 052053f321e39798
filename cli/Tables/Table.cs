// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.Cli.Tables;

/// <summary>Rows below a header, spaced as docker's tables: a column has its longest field and three blanks, at least
/// ten columns of the terminal; the last one ends with its text.</summary>
static class Table
{
    const int MinWidth = 10;
    const int Space = 3;

    /// <summary>Each line without its line feed, the header first.</summary>
    public static IReadOnlyList<string> Lines(string[] header, IReadOnlyList<Cell[]> rows, bool hasColours = false)
    {
        Cell[][] all =
        [
            [.. header.Select(title => new Cell(title))],
            .. rows,
        ];
        var widths = Enumerable
            .Range(0, header.Length)
            .Select(n => Math.Max(MinWidth, all.Max(row => Printable.Width(row[n].Text)) + Space))
            .ToArray();
        return [.. all.Select(row => Line(row, widths, hasColours))];
    }

    static string Line(Cell[] row, int[] widths, bool hasColours)
    {
        var line = new StringBuilder();
        for (var n = 0; n < row.Length; n++)
        {
            var (text, colour) = row[n];
            line.Append(hasColours && colour is { } on ? $"\e[{(int)on}m{text}\e[0m" : text);
            if (n < row.Length - 1)
                line.Append(' ', widths[n] - Printable.Width(text));
        }

        return line.ToString();
    }
}
