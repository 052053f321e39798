// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Quotas;

/// <summary>A value of <c>gpu-memory</c>: a fraction of each GPU in (0, 1], or a size in bytes. Exact; the shim's
/// <c>quota.c</c> agrees on every value (<c>tests/vectors/gpu-memory.tsv</c>).</summary>
sealed record GpuMemoryQuota
{
    /// <summary>The name of the label on containers and images, and of the option of volumes.</summary>
    public const string Name = "gpu-memory";

    /// <summary>In characters. A longer text is refused without being parsed.</summary>
    public const int MaxLength = 32;

    /// <summary>The end of every refusal.</summary>
    public const string AcceptedForms =
        "write a fraction of the GPU such as 0.5, or a size with a unit such as 2g (b, k, m, g, t)";

    /// <summary>On a container it takes off its image's label, as an empty value does; it is no quota.</summary>
    public const string Off = "none";

    readonly BigInteger _numerator;
    readonly BigInteger _denominator;

    GpuMemoryQuota(string text, long? sizeBytes, BigInteger numerator, BigInteger denominator) =>
        (Text, SizeBytes, _numerator, _denominator) = (text, sizeBytes, numerator, denominator);

    /// <summary>As the user wrote it; always at most 32 printable ASCII characters.</summary>
    public string Text { get; }

    /// <summary>Null for a fraction.</summary>
    public long? SizeBytes { get; }

    /// <summary>The share of <paramref name="bytes"/> (a GPU's total, reserved or allocatable memory) that a fraction
    /// gives, rounded down; a size is itself whatever the GPU has.</summary>
    public long Of(long bytes) => SizeBytes ?? (bytes <= 0 ? 0 : (long)(bytes * _numerator / _denominator));

    /// <summary>Reads <paramref name="text"/>; a refusal is one sentence that quotes it and lists the accepted
    /// forms.</summary>
    public static bool TryParse(
        string? text,
        [NotNullWhen(true)] out GpuMemoryQuota? quota,
        [NotNullWhen(false)] out string? problem
    )
    {
        text ??= "";
        quota = null;
        var what = text.Length > MaxLength ? $"is longer than {MaxLength} characters" : Read(text, out quota);
        problem = what is null ? null : $"{Name}={Quoted.Text(text)} {what}: {AcceptedForms}";
        return problem is null;
    }

    static string? Read(string text, out GpuMemoryQuota? quota)
    {
        quota = null;
        var digits = 0;
        var point = -1;
        var length = 0;
        for (
            ;
            length < text.Length && (char.IsAsciiDigit(text[length]) || (text[length] == '.' && point < 0));
            length++
        )
        {
            if (text[length] == '.')
                point = length;
            else
                digits++;
        }
        var scale = point < 0 ? 0 : length - point - 1;
        if (digits == 0 || (point >= 0 && scale == 0) || !TryPower(text.AsSpan(length), out var power))
            return WhyUnreadable(text, text[length..], digits > 0);
        var number = BigInteger.Parse(
            text[..length].Replace(".", ""),
            System.Globalization.CultureInfo.InvariantCulture
        );
        var one = BigInteger.Pow(10, scale);
        if (number.IsZero)
            return "would leave no GPU memory";
        return power < 0
            ? ReadFraction(text, number, one, out quota)
            : ReadSize(text, number * BigInteger.Pow(1024, power) / one, out quota);
    }

    static string? ReadFraction(string text, BigInteger number, BigInteger one, out GpuMemoryQuota? quota)
    {
        quota = number <= one ? new(text, null, number, one) : null;
        if (quota is not null)
            return null;
        return (number % one).IsZero ? "has no unit" : "is more than the whole GPU, which is 1, and has no unit";
    }

    static string? ReadSize(string text, BigInteger bytes, out GpuMemoryQuota? quota)
    {
        quota = bytes >= 1 && bytes <= long.MaxValue ? new(text, (long)bytes, bytes, BigInteger.One) : null;
        if (quota is not null)
            return null;
        return bytes.IsZero ? "is less than one byte" : "is more than any GPU has";
    }

    /// <summary>The power of 1024 that a unit means, -1 for no unit.</summary>
    static bool TryPower(ReadOnlySpan<char> unit, out int power)
    {
        power = unit.IsEmpty ? -1 : "bkmgtp".IndexOf(char.ToLowerInvariant(unit[0]), StringComparison.Ordinal);
        return unit.IsEmpty
            || (power >= 0 && char.IsAscii(unit[0]) && (unit.Length == 1 || (power > 0 && IsSuffix(unit[1..]))));
    }

    /// <summary>Docker's <c>3gb</c>, the IEC's <c>3GiB</c>, Kubernetes' <c>3Gi</c>.</summary>
    static bool IsSuffix(ReadOnlySpan<char> text) =>
        text.Equals("b", StringComparison.OrdinalIgnoreCase)
        || text.Equals("ib", StringComparison.OrdinalIgnoreCase)
        || text.Equals("i", StringComparison.OrdinalIgnoreCase);

    static string WhyUnreadable(string text, string rest, bool startsWithNumber) =>
        text switch
        {
            "" => "is empty",
            _ when text.Any(char.IsWhiteSpace) => "contains white space",
            _ when text[0] == '-' => "is negative",
            _ when text[0] == '+' => "has a sign",
            _ when text.ToLowerInvariant() is "nan" or "inf" or "infinity" => "is not a number",
            _ when text[^1] == '%' => "is a percentage",
            _ when text.Contains(',') => "has a comma; the decimal sign is a point",
            _ when startsWithNumber
                    && rest.Length > 1
                    && char.ToLowerInvariant(rest[0]) == 'e'
                    && rest[1..].TrimStart('+', '-').All(char.IsAsciiDigit) => "is in scientific notation",
            _ when startsWithNumber && rest.Length > 0 && rest.All(char.IsAsciiLetter) =>
                $"has the unknown unit {rest}",
            _ => "cannot be read",
        };

    public override string ToString() => Text;

    /// <summary>Compares the text: <c>0.5</c> and <c>.50</c> differ, though they allow the same.</summary>
    public bool Equals(GpuMemoryQuota? other) => other is not null && Text == other.Text;

    public override int GetHashCode() => Text.GetHashCode(StringComparison.Ordinal);
}
