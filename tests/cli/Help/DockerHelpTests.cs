// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Help;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Help;

/// <summary>Texts of docker's are as 20.10 to 28.5 print them; tests/engine/WrapperTests reads theirs.</summary>
sealed class DockerHelpTests : ScriptFixture
{
    const string Root = """
        Usage:  docker [OPTIONS] COMMAND

        Commands:
          ps          List containers

        Run 'docker COMMAND --help' for more information on a command.

        """;

    const string Run = """
        Usage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]

        Options:
              --expose list                      Expose a port or a range of ports
              --gpus gpu-request                 GPU devices to add to the
                                                 container ('all' to pass all GPUs)

        """;

    static readonly (string, string)[] Commands = [("policy", "Ask"), ("completion", "Print")];

    [Test]
    public void Dockers_help_has_our_commands_and_option() =>
        Assert.That(
            DockerHelp.Add(Root, Commands),
            Is.EqualTo(
                """
                Usage:  docker [OPTIONS] COMMAND

                Commands:
                  ps          List containers

                GPU Memory Commands:
                  policy      Ask
                  completion  Print

                GPU Memory Option of run and create:
                      --gpu-memory quota   GPU memory quota, such as 0.5 or 3g

                Run 'docker COMMAND --help' for more information on a command.

                """
            )
        );

    [Test]
    public void As_dockers_plugin_our_commands_come_first() =>
        Assert.That(
            DockerHelp.Add(Root, Commands, isPlugin: true),
            Is.EqualTo(
                """
                Usage:  docker runai COMMAND

                GPU Memory Commands:
                  policy      Ask
                  completion  Print

                GPU Memory Option of run and create:
                      --gpu-memory quota   GPU memory quota, such as 0.5 or 3g

                Commands:
                  ps          List containers

                Run 'docker runai COMMAND --help' for more information on a command.

                """
            )
        );

    [Test]
    public void Our_command_replaces_dockers_of_that_name() =>
        Assert.That(
            DockerHelp.Add(Root, [("ps", "List containers with a quota")]),
            Does.Contain("\n  ps  List containers with a quota\n").And.Not.Contain("List containers\n")
        );

    [Test]
    public void The_help_of_run_has_our_option_at_its_place() =>
        Assert.That(
            DockerHelp.Add(Run, Commands),
            Does.Contain(
                """
                      --expose list                      Expose a port or a range of ports
                      --gpu-memory quota                 GPU memory quota, such as 0.5 or 3g
                      --gpus gpu-request                 GPU devices to add to the

                """
            )
        );

    [TestCase("Usage:  docker ps [OPTIONS]\n\nList containers\n")]
    [TestCase("unknown flag: --x\n")]
    [TestCase("")]
    public void Other_help_stays_as_it_is(string text) => Assert.That(DockerHelp.Add(text, Commands), Is.EqualTo(text));

    [TestCase("--debug", true)]
    [TestCase("--help", true)]
    [TestCase("-h", true)]
    [TestCase("help", true)]
    [TestCase("help run", true)]
    [TestCase("run --help", true)]
    [TestCase("container create -it --help", true)]
    [TestCase("--version", false)]
    [TestCase("-v", false)]
    [TestCase("run ubuntu --help", false)]
    [TestCase("run -e --help ubuntu", false)]
    [TestCase("run --help --help=false ubuntu", false)]
    [TestCase("ps --help", false)]
    public void Only_what_asks_for_help_is_read(string words, bool isAsked) =>
        Assert.That(DockerHelp.IsAskedBy(new([.. words.Split(' ').Select(Word.Of)])), Is.EqualTo(isAsked));

    [Test]
    public void Streams_and_exit_code_stay_dockers()
    {
        var docker = Docker("echo \"Usage: $*\"; echo 'Run '\"'\"'docker COMMAND --help'\"'\"'' >&2; exit 7");
        var output = Built.Run(docker, "--help");
        Assert.That((output.Code, output.Out.Text()), Is.EqualTo((7, "Usage: --help\n")));
        Assert.That(output.Error.Text(), Is.EqualTo("Run 'docker COMMAND --help'\n"), "it has no Usage");
    }

    [TestCase("policy ask --help")]
    [TestCase("help policy ask")]
    [TestCase("--debug policy ask -h")]
    public void Our_own_commands_have_help_of_their_own(string words)
    {
        var output = Built.Run("/no/docker", words);
        Assert.That(
            output.Text,
            Does.StartWith(
                "Usage:\n  runai-docker policy ask [--user NAME] [--policy FILE] COMMAND\n\nPrint whether the plugin"
            )
        );
        Assert.That(output.Code, Is.Zero);
    }
}
