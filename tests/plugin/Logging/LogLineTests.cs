// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Microsoft.Extensions.Logging;
using NUnit.Framework;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Logging;

namespace Runai.GpuMemory.Tests.Logging;

sealed class LogLineTests
{
    static string Line(
        string message,
        LogLevel level = LogLevel.Information,
        string category = "Runai.GpuMemory.Admission.DecisionLog",
        Exception? exception = null
    ) => Encoding.UTF8.GetString(LogLine.Format(level, new(600), category, message, exception));

    [TestCase(LogLevel.Information, "gpu-memory info 600: allowed\n")]
    [TestCase(LogLevel.Warning, "gpu-memory warning 600: allowed\n")]
    [TestCase(LogLevel.Error, "gpu-memory error 600: allowed\n")]
    [TestCase(LogLevel.Critical, "gpu-memory critical 600: allowed\n")]
    public void Every_line_begins_alike_and_says_its_level(LogLevel level, string expected) =>
        Assert.That(Line("allowed", level), Is.EqualTo(expected));

    [Test]
    public void A_library_is_named() =>
        Assert.That(Line("x", category: "Microsoft.Hosting"), Is.EqualTo("gpu-memory info: Microsoft.Hosting: x\n"));

    [TestCase("a\nb\r\nc\td\u001b[31m\u2028e\u0085f")]
    public void A_line_is_one_line(string message)
    {
        var line = Line(message, exception: new InvalidOperationException("two\nlines"));
        Assert.That((line.Count(char.IsControl), line[^1]), Is.EqualTo((1, '\n')));
        Assert.That(line, Does.Contain("two lines"));
    }

    [TestCase('x')]
    [TestCase('ä')]
    [TestCase('\u20ac')]
    public void No_line_is_longer_than_8_KiB(char one)
    {
        foreach (var length in (int[])[8000, 8192, 100_000])
            Assert.That(
                LogLine.Format(LogLevel.Warning, new(601), "Runai.GpuMemory", new(one, length), null),
                Has.Length.AtMost(Bounded.MaxBytes)
            );
        Assert.That(Line(new(one, 100_000)), Does.EndWith("…\n"));
    }
}
