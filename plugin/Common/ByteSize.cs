// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.Common;

/// <summary>Sizes for people, in powers of 1024 and one decimal, rounded down: <c>140.4g</c>.</summary>
static class ByteSize
{
    static readonly string[] Units = ["b", "k", "m", "g", "t", "p"];

    /// <summary>At most seven characters, without a decimal where it is 0: <c>512m</c>. Anything below 1 is
    /// <c>0b</c>.</summary>
    public static string Text(long bytes)
    {
        if (bytes <= 0)
            return "0b";
        var unit = 0;
        while (unit < Units.Length - 1 && bytes >> (10 * (unit + 1)) != 0)
            unit++;
        var tenths = (Int128)bytes * 10 >> (10 * unit);
        var text = (tenths / 10).ToString(CultureInfo.InvariantCulture);
        return tenths % 10 == 0 ? text + Units[unit] : $"{text}.{(int)(tenths % 10)}{Units[unit]}";
    }
}
