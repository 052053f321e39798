// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Completion;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Completion;

sealed class CompletionsTests : ScriptFixture
{
    const string Option = "--gpu-memory\tGPU memory quota, such as 0.5 or 3g\n";

    /// <summary>A docker that offers what it is asked for.</summary>
    string Complete(string words, string request = "__complete", bool isPlugin = false) =>
        new Completions(new(Word.Of(Docker("printf '%s\\n:4\\n' \"$*\""))), Word.Of(request), isPlugin)
            .Of([.. words.Split(' ').Select(Word.Of)])
            .Text();

    [TestCase("run --gp", Option + "__complete run --gp\n:4\n")]
    [TestCase("run -", Option + "__complete run -\n:4\n")]
    [TestCase(
        "--debug container create -it --gpu-memory",
        Option + "__complete --debug container create -it --gpu-memory\n:4\n"
    )]
    [TestCase("run --name --gp", "__complete run --name --gp\n:4\n", Description = "the value of another option")]
    [TestCase("run ubuntu --gp", "__complete run ubuntu --gp\n:4\n", Description = "an option of the program's")]
    [TestCase("ps --gp", "__complete ps --gp\n:4\n")]
    [TestCase("run --gpu-memory ", ":4\n")]
    [TestCase("run --gpu-memory=0", ":4\n")]
    [TestCase("run --gpu-memory 0.5 --gpu-memory=1 --gpus ", "__complete run --gpus \n:4\n")]
    [TestCase("pol", "policy\tAsk the plugin about a command or a policy; nothing is done\n__complete pol\n:4\n")]
    [TestCase("container po", "__complete container po\n:4\n")]
    [TestCase("run po", "__complete run po\n:4\n")]
    public void What_is_dockers_is_completed_by_docker_behind_ours(string words, string expected) =>
        Assert.That(Complete(words), Is.EqualTo(expected));

    [TestCase("policy a", "ask\tPrint whether the plugin would allow COMMAND, and why, without running it.\n:4\n")]
    [TestCase("policy ask --u", "--user\tAsk for the user with this TLS name. For admins.\n:4\n")]
    [TestCase("policy ask --user ", ":4\n")]
    [TestCase("policy ask --policy ", ":0\n")]
    [TestCase("policy ask --user bob s", "start\nservice\n:4\n")]
    [TestCase("policy ask --user bob run --gp", Option + "__complete run --gp\n:4\n")]
    [TestCase("policy ask docker run x", "__complete run x\n:4\n")]
    [TestCase("policy check ", ":0\n")]
    [TestCase(
        "--context far policy ch",
        "check\tPrint whether FILE is a policy, and what is wrong with it; without FILE, the policy in force.\n:4\n"
    )]
    [TestCase("completion ", "bash\nfish\nzsh\n:4\n")]
    [TestCase("policy check a b ", ":0\n")]
    public void What_is_ours_is_completed_by_our_descriptions(string words, string expected) =>
        Assert.That(Complete(words), Is.EqualTo(expected));

    [TestCase("p", "policy\nps\n__completeNoDesc p\n:4\n")]
    [TestCase("ps -", "--all\n--quiet\n--no-trunc\n--filter\n--format\n:4\n")]
    [TestCase("ps --format ", "json\ntable\n:4\n")]
    [TestCase("ps -a --filter ", "gpu=\nname=\nstate=\nuser=\n:4\n")]
    [TestCase("ps -f s", "state=\n:4\n")]
    [TestCase("stats --no", "--no-stream\n:4\n")]
    [TestCase("container ps -", "__completeNoDesc container ps -\n:4\n")]
    public void As_dockers_plugin_ps_and_stats_are_ours(string words, string expected) =>
        Assert.That(Complete(words, "__completeNoDesc", isPlugin: true), Is.EqualTo(expected));

    [Test]
    public void Of_two_commands_with_one_name_ours_is_offered()
    {
        var docker = Docker("printf 'ps\\tList containers\\npull\\tPull\\n:4\\n'");
        Assert.That(
            new Completions(new(Word.Of(docker)), "__complete"u8.ToArray(), isPlugin: true)
                .Of(["p"u8.ToArray()])
                .Text(),
            Does.Match("^policy\t.*\nps\tList containers with a quota .*\npull\tPull\n:4\n$")
        );
    }

    [TestCase("ps -", "__completeNoDesc ps -\n:4\n")]
    [TestCase("gpus --f", "--format\n:4\n")]
    [TestCase("st", "__completeNoDesc st\n:4\n")]
    public void As_runai_docker_ps_and_stats_are_dockers(string words, string expected) =>
        Assert.That(Complete(words, "__completeNoDesc"), Is.EqualTo(expected));

    [Test]
    public void Descriptions_can_be_left_out() =>
        Assert.That(
            Complete("run --gp", "__completeNoDesc"),
            Is.EqualTo("--gpu-memory\n__completeNoDesc run --gp\n:4\n")
        );
}
