// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Words;

sealed class PluginNameTests
{
    [TestCase("/usr/local/lib/docker/cli-plugins/docker-runai", true)]
    [TestCase("docker-runai", true)]
    [TestCase("/docker-runai/runai-docker", false)]
    [TestCase("runai-docker", false)]
    [TestCase("", false)]
    public void The_program_is_a_plugin_by_its_name(string program, bool isPlugin) =>
        Assert.That(PluginName.IsProgram(Word.Of(program)), Is.EqualTo(isPlugin));

    [TestCase("runai run", "run")]
    [TestCase("runai runai", "runai")]
    [TestCase("--context X -DH Y runai ps", "--context X -DH Y ps")]
    [TestCase("--context runai runai ps", "--context runai ps")]
    [TestCase("help runai", "help")]
    [TestCase("help runai run", "help run")]
    [TestCase("help ps", "help ps")]
    [TestCase("__complete runai run ", "__complete run ")]
    [TestCase("--debug __complete runai ", "--debug __complete ")]
    [TestCase("exec runai ls", "exec runai ls")]
    [TestCase("--context", "--context")]
    [TestCase("runai", "")]
    public void Only_the_plugins_own_name_goes(string words, string left) =>
        Assert.That(
            string.Join(' ', PluginName.Drop([.. words.Split(' ').Select(Word.Of)]).Select(Word.Text)),
            Is.EqualTo(left)
        );
}
