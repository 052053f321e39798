// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Common;

sealed class BoundedTests
{
    [TestCase("short")]
    [TestCase("")]
    public void A_short_text_stays(string text) => Assert.That(Bounded.Text(text), Is.SameAs(text));

    [TestCase("a")]
    [TestCase("\u20ac")]
    [TestCase("\U0001f600")]
    public void A_long_text_is_cut_between_characters(string one)
    {
        var cut = Bounded.Text(string.Concat(Enumerable.Repeat(one, 50)), 40);
        Assert.That(Encoding.UTF8.GetByteCount(cut), Is.InRange(36, 40));
        Assert.That(cut[..^1].Replace(one, "", StringComparison.Ordinal) + cut[^1], Is.EqualTo("…"));
    }

    [Test]
    public void A_long_list_names_five()
    {
        string[] names = [.. Enumerable.Range(0, 20_000).Select(i => $"v{i}")];
        Assert.That(Bounded.List(names), Is.EqualTo("v0, v1, v2, v3, v4 and 19,995 more"));
        Assert.That(Bounded.List(names[..5]), Is.EqualTo("v0, v1, v2, v3, v4"));
    }

    [Test]
    public void No_message_to_the_engine_is_longer_than_8_KiB()
    {
        var text = new string('x', 100_000);
        Assert.That(Encoding.UTF8.GetByteCount(AuthZAnswer.Denied(text).Msg), Is.EqualTo(Bounded.MaxBytes));
        Assert.That(Encoding.UTF8.GetByteCount(new VolumeAnswer(text).Err), Is.EqualTo(Bounded.MaxBytes));
    }
}
