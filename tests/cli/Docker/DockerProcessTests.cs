// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Docker;

sealed class DockerProcessTests : ScriptFixture
{
    Output Capture(string script, params string[] words) =>
        new DockerProcess(Word.Of(Docker(script))).Capture([.. words.Select(Word.Of)]);

    [Test]
    public void Output_error_and_exit_code_are_told_apart()
    {
        var output = Capture("echo out; echo error >&2; exit 3");
        Assert.That((output.Code, output.Out.Text(), output.Error.Text()), Is.EqualTo((3, "out\n", "error\n")));
    }

    [Test]
    public void A_signal_gives_the_exit_code_of_shells() => Assert.That(Capture("kill -TERM $$").Code, Is.EqualTo(143));

    [Test]
    public void Much_on_both_streams_at_once_is_read()
    {
        var output = Capture("head -c 1000000 /dev/zero & head -c 1000000 /dev/zero >&2; wait");
        Assert.That((output.Out.Length, output.Error.Length), Is.EqualTo((1_000_000, 1_000_000)));
    }

    [Test]
    public void A_docker_that_does_not_stop_printing_is_ended() =>
        Assert.That(
            () => Capture("exec cat /dev/zero"),
            Throws.TypeOf<UserException>().With.Message.EqualTo("docker printed more than 32 MiB")
        );

    /// <summary>What docker started holds its output open, as a plugin of the CLI or ssh would.</summary>
    [Test]
    public void A_docker_that_does_not_answer_is_ended() =>
        Assert.That(
            () =>
                new DockerProcess(Word.Of(Docker("sleep 60 & wait"))).WithLimit(TimeSpan.FromSeconds(0.2)).Capture([]),
            Throws.TypeOf<UserException>().With.Message.EqualTo("docker gave no answer within 0.2 s")
        );

    [Test]
    public void Without_input_it_reads_nothing() => Assert.That(Capture("cat").Out, Is.Empty);

    /// <summary>Ctrl-C and kill, while a question waits.</summary>
    [TestCase("INT", 130)]
    [TestCase("TERM", 143)]
    public void A_signal_ends_docker_and_leaves_no_configuration(string signal, int code)
    {
        var temporary = Directory.CreateDirectory(Path.Combine(Folder, signal)).FullName;
        var begun = Path.Combine(Folder, signal + ".begun");
        var start = new ProcessStartInfo(Built.Program, ["policy", "check"]) { RedirectStandardError = true };
        start.Environment["RUNAI_DOCKER"] = Docker($"touch {begun}; exec sleep 60");
        start.Environment["TMPDIR"] = temporary;
        using var process = Process.Start(start)!;
        Assert.That(() => File.Exists(begun), Is.True.After(20_000, 10));
        Assert.That(Directory.GetDirectories(temporary), Is.Not.Empty);
        new DockerProcess("kill"u8.ToArray()).Capture([Word.Of($"-{signal}"), Word.Of($"{process.Id}")]);
        Assert.That(process.WaitForExit(20_000), "it ends");
        Assert.That(process.ExitCode, Is.EqualTo(code));
        Assert.That(Directory.GetDirectories(temporary), Is.Empty);
    }
}
