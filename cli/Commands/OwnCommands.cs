// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using System.CommandLine.Help;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Help;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary>The commands that are this program's own. One more is a row and a class. Those that docker has too are ours
/// as <c>docker runai NAME</c> only: <c>runai-docker NAME</c> is docker's.</summary>
static class OwnCommands
{
    static readonly (string Name, bool IsDockersToo, Func<OwnLine, Command> Create)[] All =
    [
        ("policy", false, line => new PolicyCommand(line)),
        ("ps", true, line => new PsCommand(line)),
        ("stats", true, line => new StatsCommand(line)),
        ("gpus", false, line => new GpusCommand(line)),
        ("exporter", false, line => new ExporterCommand(line)),
        ("doctor", false, line => new DoctorCommand(line)),
        ("version", true, line => new VersionCommand(line)),
        ("completion", false, _ => new CompletionCommand()),
        ("__man", false, _ => new ManCommand()),
    ];

    /// <summary>Whether a command is this program's own.</summary>
    /// <param name="name">Of the command.</param>
    /// <param name="isPlugin">Whether the docker CLI called this program as its plugin.</param>
    public static bool Have(string name, bool isPlugin) =>
        All.Any(command => command.Name == name && (isPlugin || !command.IsDockersToo));

    /// <summary>The commands as a tree.</summary>
    /// <param name="line">What they are called with.</param>
    public static Command Tree(OwnLine line)
    {
        var root = new Command("runai-docker", "docker with a quota of GPU memory");
        root.Options.Add(new HelpOption("--help", "-h") { Action = new OwnHelp(), Recursive = true });
        foreach (var (_, _, create) in All)
            root.Subcommands.Add(create(line));
        return root;
    }

    /// <summary>Name and description of those that help lists.</summary>
    /// <param name="isPlugin">Whether the docker CLI called this program as its plugin.</param>
    public static IReadOnlyList<(string Name, string Description)> Descriptions(bool isPlugin) =>
        [
            .. from command in Tree(OwnLine.Empty).Subcommands
            where !command.Hidden && Have(command.Name, isPlugin)
            select (command.Name, (command.Description ?? "").Split('\n')[0].TrimEnd('.')),
        ];

    /// <summary>Parses the words and runs the command. Answers its exit code.</summary>
    /// <exception cref="UserException">The words are not a command.</exception>
    public static int Run(OwnLine line)
    {
        var parse = Tree(line).Parse(line.Words, Parser);
        if (parse.Action is not OwnHelp && parse.Errors is [var error, ..])
            throw new UserException(error.Message);
        return parse.Invoke(
            new()
            {
                EnableDefaultExceptionHandler = false,
                Output = Standard.Output,
                Error = Standard.Error,
            }
        );
    }

    /// <summary>A word is what it says: no file of words behind @.</summary>
    public static ParserConfiguration Parser { get; } = new() { ResponseFileTokenReplacer = null };
}
