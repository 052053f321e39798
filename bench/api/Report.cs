// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.ApiBench;

/// <summary>One Markdown table of what was measured beside what is wanted.</summary>
sealed class Report
{
    readonly List<string> _lines =
    [
        "| what | bare | allow-all (Go) | ours | target | |",
        "| --- | --- | --- | --- | --- | --- |",
    ];

    public int Misses { get; private set; }

    /// <param name="what">With its unit.</param>
    /// <param name="bare">Without any plugin; null where that has no meaning.</param>
    /// <param name="allowAll">With the one that allows everything.</param>
    /// <param name="ours">With this project's plugin.</param>
    /// <param name="target">In words; null where there is none.</param>
    /// <param name="limit">What <paramref name="ours"/> may be at most.</param>
    public void Add(
        string what,
        double? bare,
        double? allowAll,
        double ours,
        string? target = null,
        double limit = double.PositiveInfinity
    )
    {
        var missed = !(ours <= limit);
        if (missed)
            Misses++;
        _lines.Add(
            $"| {what} | {Text(bare)} | {Text(allowAll)} | {Text(ours)} | {target} | "
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
