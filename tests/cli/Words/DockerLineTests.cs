// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Words;

sealed class DockerLineTests
{
    static DockerLine Line(string words) => new([.. words.Split(' ').Select(Word.Of)]);

    [Test]
    public void Docker_gets_each_word_as_chosen()
    {
        for (var seed = 0; seed < 20_000; seed++)
        {
            var line = LineGenerator.Make(seed, isValid: false);
            var got = new DockerLine(line.Words).ForDocker();
            Assert.That(GeneratedLine.Show(got), Is.EqualTo(GeneratedLine.Show(line.Expected)), $"seed {seed}: {line}");
        }
    }

    [TestCase("run --gpu-memory")]
    [TestCase("run -it --gpu-memory")]
    [TestCase("container create --gpu-memory")]
    public void A_missing_value_is_named(string words) =>
        Assert.That(
            () => Line(words).ForDocker(),
            Throws
                .TypeOf<UserException>()
                .With.Message.EqualTo(GpuMemoryOption.MissingValue)
                .And.Property(nameof(UserException.ExitCode))
                .EqualTo(125)
        );

    [TestCase("run", 0)]
    [TestCase("-H a run", 2)]
    [TestCase("--context run ps", 2)]
    [TestCase("-DH run ps", 2)]
    [TestCase("-Hrun ps", 1)]
    [TestCase("-vD", null)]
    public void The_command_stands_behind_the_global_options(string words, int? at) =>
        Assert.That(Line(words).CommandAt, Is.EqualTo(at));

    [TestCase("run --gpu-memory x", WordKind.QuotaValue)]
    [TestCase("run -e x", WordKind.Value)]
    [TestCase("run -e x -x", WordKind.Option)]
    [TestCase("-H x", WordKind.Value)]
    [TestCase("run -- --gpu-memory", WordKind.Rest)]
    [TestCase("run -it --gpu-memory", WordKind.Quota)]
    [TestCase("container ls --gpu-memory", WordKind.Rest)]
    [TestCase("--gpu-memory", WordKind.Global)]
    public void The_last_word_is_known_by_those_before(string words, object kind) =>
        Assert.That(Line(words).LastKind, Is.EqualTo(kind));
}
