// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Numerics;
using FsCheck;
using FsCheck.Fluent;
using NUnit.Framework;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Tests.Quotas;

sealed class GpuMemoryQuotaTests
{
    static IEnumerable<TestCaseData> Vectors()
    {
        var folder = TestContext.CurrentContext.TestDirectory;
        while (!File.Exists(Path.Combine(folder, "RunaiPlugin.sln")))
            folder = Path.GetDirectoryName(folder)!;
        return from line in File.ReadLines(Path.Combine(folder, "tests", "vectors", "gpu-memory.tsv"))
            where !line.StartsWith('#')
            let fields = line.Split('\t')
            select new TestCaseData(
                fields[0].Replace("\\t", "\t").Replace("\\\\", "\\"),
                long.Parse(fields[1], CultureInfo.InvariantCulture),
                fields[2]
            );
    }

    [TestCaseSource(nameof(Vectors))]
    public void Agrees_with_the_test_vectors_of_the_shim(string text, long total, string bytes)
    {
        var read = GpuMemoryQuota.TryParse(text, out var quota, out var problem);
        Assert.That(read ? quota!.Of(total).ToString(CultureInfo.InvariantCulture) : "refused", Is.EqualTo(bytes));
        Assert.That(problem, read ? Is.Null : Does.StartWith("gpu-memory=").And.EndsWith(GpuMemoryQuota.AcceptedForms));
    }

    [TestCase(
        "2",
        "gpu-memory=2 has no unit: write a fraction of the GPU such as 0.5, or a size with a unit such as 2g "
            + "(b, k, m, g, t)"
    )]
    [TestCase("", "gpu-memory= is empty: ")]
    [TestCase(null, "gpu-memory= is empty: ")]
    [TestCase("0", "gpu-memory=0 would leave no GPU memory: ")]
    [TestCase("0.00", "gpu-memory=0.00 would leave no GPU memory: ")]
    [TestCase("0g", "gpu-memory=0g would leave no GPU memory: ")]
    [TestCase("0.5b", "gpu-memory=0.5b is less than one byte: ")]
    [TestCase("-0.5", "gpu-memory=-0.5 is negative: ")]
    [TestCase("+1", "gpu-memory=+1 has a sign: ")]
    [TestCase("1.5", "gpu-memory=1.5 is more than the whole GPU, which is 1, and has no unit: ")]
    [TestCase("3.0", "gpu-memory=3.0 has no unit: ")]
    [TestCase("1e3", "gpu-memory=1e3 is in scientific notation: ")]
    [TestCase("1E-1", "gpu-memory=1E-1 is in scientific notation: ")]
    [TestCase("50%", "gpu-memory=50% is a percentage: ")]
    [TestCase("NaN", "gpu-memory=NaN is not a number: ")]
    [TestCase("Infinity", "gpu-memory=Infinity is not a number: ")]
    [TestCase("1,5", "gpu-memory=1,5 has a comma; the decimal sign is a point: ")]
    [TestCase("3 g", "gpu-memory=\"3 g\" contains white space: ")]
    [TestCase("3x", "gpu-memory=3x has the unknown unit x: ")]
    [TestCase("8192p", "gpu-memory=8192p is more than any GPU has: ")]
    [TestCase("half", "gpu-memory=half cannot be read: ")]
    [TestCase("1.", "gpu-memory=1. cannot be read: ")]
    [TestCase("\u001b[31m", "gpu-memory=\"\\u001b[31m\" cannot be read: ")]
    [TestCase("0.5\u202e", "gpu-memory=\"0.5\\u202e\" cannot be read: ")]
    [TestCase(
        "0.12345678901234567890123456789012",
        "gpu-memory=0.12345678901234567890123456789012 is longer than 32 characters: "
    )]
    public void A_refusal_names_the_fault_and_the_remedy(string? text, string start)
    {
        Assert.That(GpuMemoryQuota.TryParse(text, out _, out var problem), Is.False);
        Assert.That(problem, Does.StartWith(start).And.EndsWith(GpuMemoryQuota.AcceptedForms));
    }

    [Test]
    public void A_refusal_quotes_a_long_text_only_in_part()
    {
        Assert.That(GpuMemoryQuota.TryParse(new string('9', 100_000), out _, out var problem), Is.False);
        Assert.That(problem, Has.Length.LessThan(300).And.Contains("9…\" is longer than 32 characters"));
    }

    static readonly Gen<string> Fractions =
        from digits in Gen.Choose(1, 31)
        from number in Gen.ArrayOf(Gen.Choose(0, 9), digits)
        where number.Any(d => d != 0)
        select "." + string.Concat(number);

    static readonly Gen<long> Totals = Gen.OneOf(
        Gen.Choose(0, int.MaxValue).Select(n => (long)n),
        ArbMap.Default.GeneratorFor<long>().Select(n => n & long.MaxValue),
        Gen.Elements(0L, 1L, 11522801664L, 150754820096L, long.MaxValue)
    );

    static GpuMemoryQuota Parse(string text) =>
        GpuMemoryQuota.TryParse(text, out var quota, out var problem) ? quota : throw new AssertionException(problem);

    [FsCheck.NUnit.Property(MaxTest = 1000)]
    public Property A_fraction_is_rounded_down_to_a_byte() =>
        Prop.ForAll(
            Arb.From(Fractions),
            Arb.From(Totals),
            (text, total) =>
            {
                var share = Parse(text).Of(total);
                var exact = (BigInteger)total * BigInteger.Parse(text[1..], CultureInfo.InvariantCulture);
                var one = BigInteger.Pow(10, text.Length - 1);
                return share * one <= exact && (share + BigInteger.One) * one > exact;
            }
        );

    [FsCheck.NUnit.Property(MaxTest = 1000)]
    public Property A_larger_GPU_or_fraction_never_gives_less() =>
        Prop.ForAll(
            Arb.From(Gen.Two(Fractions)),
            Arb.From(Gen.Two(Totals)),
            (texts, totals) =>
            {
                var (low, high) =
                    decimal.Parse("0" + texts.Item1, CultureInfo.InvariantCulture)
                    < decimal.Parse("0" + texts.Item2, CultureInfo.InvariantCulture)
                        ? texts
                        : (texts.Item2, texts.Item1);
                var (small, large) = (Math.Min(totals.Item1, totals.Item2), Math.Max(totals.Item1, totals.Item2));
                var same =
                    decimal.Parse("0" + low, CultureInfo.InvariantCulture)
                    == decimal.Parse("0" + high, CultureInfo.InvariantCulture);
                return Parse(low).Of(small) <= Parse(low).Of(large)
                    && (same || Parse(low).Of(large) <= Parse(high).Of(large));
            }
        );

    [FsCheck.NUnit.Property]
    public Property Shares_that_add_up_to_one_fit_into_the_GPU() =>
        Prop.ForAll(
            Arb.From(Gen.Choose(1, 999)),
            Arb.From(Totals),
            (thousandths, total) =>
                (BigInteger)Parse($".{thousandths:000}").Of(total) + Parse($".{1000 - thousandths:000}").Of(total)
                <= total
        );

    [FsCheck.NUnit.Property]
    public Property A_size_in_bytes_is_itself() =>
        Prop.ForAll(
            Arb.From(Totals.Where(n => n > 0)),
            size => Parse($"{size}b").Of(0) == size && Parse($"{size}b").Text == $"{size}b"
        );

    [FsCheck.NUnit.Property(MaxTest = 2000)]
    public bool Any_text_is_read_or_refused_with_one_bounded_line(string? text) =>
        GpuMemoryQuota.TryParse(text, out var quota, out var problem)
            ? quota.Text == text && quota.Of(1000) >= 0
            : problem.Length < 600 && !problem.Any(char.IsControl);
}
