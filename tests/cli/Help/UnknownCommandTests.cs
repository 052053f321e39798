// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Help;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Help;

/// <summary>docker runai with a command of which docker knows nothing.</summary>
sealed class UnknownCommandTests : ScriptFixture
{
    static readonly (string, string)[] Commands = [("gpus", "List the GPUs")];

    string Noting(string script) => Docker($"echo \"$*\" >>\"$0.calls\"; {script}");

    [Test]
    public void It_is_named_as_it_was_typed_beside_our_commands()
    {
        var docker = Noting("echo \"unknown help topic: $2\" >&2; exit 1");
        var problem = UnknownCommand.Find(
            new(Word.Of(docker), GlobalOptions.Read(["-H"u8.ToArray(), "a"u8.ToArray()])),
            "nosuch"u8.ToArray(),
            Commands
        );
        Assert.That(
            problem?.Message,
            Is.EqualTo(
                """
                unknown command: docker runai nosuch

                GPU Memory Commands:
                  gpus  List the GPUs

                Run 'docker runai --help' for all commands
                """
            )
        );
        Assert.That(problem?.ExitCode, Is.EqualTo(1));
        Assert.That(File.ReadAllText($"{docker}.calls"), Is.EqualTo("-H a help nosuch\n"));
    }

    [TestCase("scout", "echo 'Usage:  docker scout'", 1)]
    [TestCase("scout", "echo 'no engine' >&2; exit 1", 1)]
    [TestCase("ps", "exit 1", 0)]
    public void What_docker_may_have_goes_to_docker(string command, string script, int calls)
    {
        var docker = Noting(script);
        Assert.That(UnknownCommand.Find(new(Word.Of(docker)), Word.Of(command), Commands), Is.Null);
        Assert.That(File.Exists($"{docker}.calls") ? 1 : 0, Is.EqualTo(calls));
    }
}
