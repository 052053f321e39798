// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests;

/// <summary>What docker gets of the program as it is built, beside what it gets when it is called itself.</summary>
sealed class PassThroughTests : ScriptFixture
{
    const string Recorder = "[ $# = 0 ] || printf '%s\\0' \"$@\"";

    /// <summary>Of the signals the first 32: 33 is the C library's own, in each program with threads.</summary>
    const string State = """
        sed -n -e '/^Sig[BIC]/s/........\(........\)$/\1/p' -e '/^\(Umask\|Seccomp\)/p' /proc/self/status
        ls /proc/self/fd
        ulimit -a
        tr '\0' '\n' </proc/$$/environ | grep -v -e '^_=' -e '^RUNAI_DOCKER='
        """;

    [Test]
    public void Each_word_reaches_docker_byte_for_byte()
    {
        var docker = Docker(Recorder);
        for (var seed = 0; seed < 200; seed++)
        {
            var line = LineGenerator.Make(seed, isValid: false);
            var got = RawArguments.Split(Built.Run(docker, line.Words).Out);
            Assert.That(GeneratedLine.Show(got), Is.EqualTo(GeneratedLine.Show(line.Expected)), $"seed {seed}: {line}");
        }
    }

    [Test]
    public void A_command_line_of_a_megabyte_reaches_docker()
    {
        byte[][] words = ["run"u8.ToArray(), .. Enumerable.Range(0, 10_000).Select(n => Word.Of($"{n}".PadLeft(100)))];
        Assert.That(Built.Run(Docker(Recorder), words).Out, Has.Length.EqualTo(4 + 10_000 * 101));
    }

    /// <summary>Signals that are blocked, ignored or caught, open files and limits are those of who called.</summary>
    [TestCase("")]
    [TestCase("trap '' INT HUP; ulimit -n 100;")]
    public void Docker_inherits_what_it_would_without_the_program(string before)
    {
        var docker = Docker(State);
        // The test itself ignores SIGPIPE, as .NET does; no shell does.
        var shell = new DockerProcess("env"u8.ToArray());
        Output Run(string command) =>
            shell.Capture([
                Word.Of("--default-signal=PIPE"),
                "sh"u8.ToArray(),
                "-c"u8.ToArray(),
                Word.Of($"{before} {command}"),
            ]);
        var direct = Run($"exec {docker} ps").Out.Text();
        var wrapped = Run($"RUNAI_DOCKER={docker} exec {Built.Program} ps").Out.Text();
        Assert.That(direct, Does.Contain("SigIgn").And.Contain("nofiles"));
        Assert.That(wrapped, Is.EqualTo(direct));
    }

    [Test]
    public void Docker_runs_as_the_same_process()
    {
        var shell = new DockerProcess("sh"u8.ToArray());
        var line = $"RUNAI_DOCKER={Docker("echo $$; exit 42")} {Built.Program} ps & echo $!; wait $!";
        var output = shell.Capture(["-c"u8.ToArray(), Word.Of(line)]);
        Assert.That(output.Code, Is.EqualTo(42));
        Assert.That(output.Text.Split('\n').Distinct().Count(), Is.EqualTo(1), output.Text);
    }

    [TestCase("/no/docker", 127, "No such file or directory")]
    [TestCase("/etc", 126, "Permission denied")]
    public void A_docker_that_cannot_be_run_is_named(string docker, int code, string why)
    {
        var output = Built.Run(docker, "ps");
        Assert.That(output.Code, Is.EqualTo(code));
        Assert.That(
            output.Text,
            Is.EqualTo($"runai-docker: {docker} cannot be run: {why}; RUNAI_DOCKER names the docker to run")
        );
    }
}
