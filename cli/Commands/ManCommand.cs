// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Help;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>__man</c>: prints the man page, for those who install this program.</summary>
sealed class ManCommand : Command
{
    public ManCommand()
        : base("__man", "Print the man page")
    {
        Hidden = true;
        SetAction(parse =>
            parse.InvocationConfiguration.Output.Write(ManPage.Of(OwnCommands.Tree(OwnLine.Empty), ProgramVersion.Text))
        );
    }
}
