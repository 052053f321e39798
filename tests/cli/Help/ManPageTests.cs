// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Commands;
using Runai.GpuMemory.Cli.Help;

namespace Runai.GpuMemory.CliTests.Help;

sealed class ManPageTests
{
    static readonly string Page = ManPage.Of(OwnCommands.Tree(OwnLine.Empty), "1.2.3");

    [Test]
    public void Each_command_and_option_is_described_as_in_the_help()
    {
        foreach (var command in OwnHelp.Leaves(OwnCommands.Tree(OwnLine.Empty)))
        {
            Assert.That(command.Description, Is.Not.Empty);
            Assert.That(Page, Does.Contain($".B {Roff(OwnHelp.ShortUsage(command))}\n"));
            Assert.That(Page, Does.Contain(Roff(command.Description!)));
            foreach (var option in OwnHelp.Options(command))
                Assert.That(Page, Does.Contain($".B {Roff(OwnHelp.Spelling(option))}\n{Roff(option.Description!)}\n"));
        }
    }

    [Test]
    public void The_version_is_that_of_the_program() =>
        Assert.That(Page, Does.StartWith(".TH RUNAI-DOCKER 1 \"\" \"runai-docker 1.2.3\""));

    [Test]
    public void Hidden_commands_are_not_in_it() => Assert.That(Page, Does.Not.Contain("__man"));

    static string Roff(string text) => text.Replace("-", "\\-");
}
