// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Tests.Common;

sealed class ByteSizeTests
{
    [TestCase(0, "0b")]
    [TestCase(1023, "1023b")]
    [TestCase(1024, "1k")]
    [TestCase(1024 + 1023, "1.9k")]
    [TestCase(150754820096, "140.4g")]
    [TestCase(214748364800, "200g")]
    [TestCase(long.MaxValue, "8191.9p")]
    public void Sizes_are_shown_in_the_largest_unit_rounded_down(long bytes, string text) =>
        Assert.That(ByteSize.Text(bytes), Is.EqualTo(text));
}
