// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Help;

/// <summary>A command of <c>docker runai</c> that neither this program nor docker has. docker would name another
/// command line, and list none of this program's commands.</summary>
static class UnknownCommand
{
    const string Unknown = "unknown help topic: ";

    /// <summary>For these docker starts once. About others, such as plugins of the docker CLI, it is asked
    /// first.</summary>
    static readonly string[] Dockers =
    [
        .. "attach build builder buildx checkpoint commit compose config container context cp create diff".Split(' '),
        .. "events exec export help history image images import info inspect kill load login logout".Split(' '),
        .. "logs manifest network node pause plugin port ps pull push rename restart rm rmi run save".Split(' '),
        .. "search secret service stack start stats stop swarm system tag top trust unpause update".Split(' '),
        .. "version volume wait".Split(' '),
    ];

    /// <summary>What the user has to know; null: docker has the command.</summary>
    /// <param name="docker">The docker that is asked.</param>
    /// <param name="command">The word.</param>
    /// <param name="commands">This program's own: name and description.</param>
    public static UserException? Find(
        DockerProcess docker,
        byte[] command,
        IReadOnlyList<(string Name, string Description)> commands
    )
    {
        if (command.IsOneOf(Dockers))
            return null;
        var output = docker.Capture(["help"u8.ToArray(), command], docker.Globals.Config);
        return output.Code == 0 || !output.Error.Text().Contains(Unknown, StringComparison.Ordinal)
            ? null
            : new(
                $"unknown command: docker runai {command.Text()}\n\n{DockerHelp.Table(commands)}\n"
                    + "Run 'docker runai --help' for all commands",
                exitCode: 1 // as docker's
            );
    }
}
