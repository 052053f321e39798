// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.ApiBench;

/// <summary>One Markdown table of what was measured beside what is wanted.</summary>
/// <param name="columns">What the figures of a row belong to.</param>
sealed class Report(params string[] columns)
{
    readonly List<string> _lines =
    [
        $"| what | {string.Join(" | ", columns)} | target | |",
        $"| --- |{string.Concat(columns.Select(_ => " --- |"))} --- | --- |",
    ];

    public int Misses { get; private set; }

    /// <param name="what">With its unit.</param>
    /// <param name="figures">One a column, of which the last is judged; null where it has no meaning.</param>
    /// <param name="target">In words; null where there is none.</param>
    /// <param name="limit">What the last figure may be at most.</param>
    public void Add(string what, double?[] figures, string? target = null, double limit = double.PositiveInfinity)
    {
        var missed = !(figures[^1] <= limit);
        if (missed)
            Misses++;
        _lines.Add(
            $"| {what} | {string.Join(" | ", figures.Select(Text))} | {target} | "
                + $"{(target is null ? "" : missed ? "MISS" : "ok")} |"
        );
    }

    public override string ToString() => string.Join('\n', _lines);

    static string Text(double? value) =>
        value is not { } number
            ? ""
            : number.ToString(
                number < 10 ? "0.00"
                    : number < 100 ? "0.0"
                    : "0",
                CultureInfo.InvariantCulture
            );
}
