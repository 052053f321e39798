// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.Cli.Tables;

/// <summary>Sizes and shares as <c>docker stats</c> writes them. What is not known is a dash.</summary>
static class Figure
{
    static readonly string[] Units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

    /// <summary>With four digits, as in <c>1.953GiB</c>.</summary>
    public static string Size(long? bytes)
    {
        if (bytes is not { } value)
            return Printable.Unknown;
        double size = value;
        var unit = 0;
        for (; size >= 1024 && unit < Units.Length - 1; unit++)
            size /= 1024;
        return size.ToString("G4", CultureInfo.InvariantCulture) + Units[unit];
    }

    /// <summary>As in <c>12.50%</c>.</summary>
    public static string Percent(double? percent) =>
        percent is { } value ? value.ToString("F2", CultureInfo.InvariantCulture) + "%" : Printable.Unknown;

    /// <summary>How much of a limit is used, in percent; null: one of them is not known.</summary>
    public static double? Share(long? used, long? limit) => limit > 0 ? 100.0 * used / limit : null;
}
