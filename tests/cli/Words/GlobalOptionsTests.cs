// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Words;

sealed class GlobalOptionsTests
{
    [TestCase("--context X --debug", "--context X --debug", null)]
    [TestCase("--config /a -H b", "-H b", "/a")]
    [TestCase("-H --config --config=/a", "-H --config", "/a")]
    [TestCase("--config", "--config", null)]
    [TestCase("--debug --config /a --config=/b", "--debug", "/b")]
    public void The_folder_of_the_configuration_is_taken_out(string words, string left, string? config)
    {
        var options = GlobalOptions.Read([.. words.Split(' ').Select(Word.Of)]);
        Assert.That(string.Join(' ', options.Words.Select(Word.Text)), Is.EqualTo(left));
        Assert.That(options.Config, Is.EqualTo(config));
    }
}
