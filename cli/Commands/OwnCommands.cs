// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using System.CommandLine.Help;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Help;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary>The commands that are this program's own, and not docker's. One more is a row and a class.</summary>
static class OwnCommands
{
    static readonly (string Name, Func<OwnLine, Command> Create)[] All =
    [
        ("policy", line => new PolicyCommand(line)),
        ("completion", _ => new CompletionCommand()),
        ("__man", _ => new ManCommand()),
    ];

    /// <summary>Whether a command is this program's own.</summary>
    public static bool Have(string name) => All.Any(command => command.Name == name);

    /// <summary>The commands as a tree.</summary>
    /// <param name="line">What they are called with.</param>
    public static Command Tree(OwnLine line)
    {
        var root = new Command("runai-docker", "docker with a quota of GPU memory");
        root.Options.Add(new HelpOption("--help", "-h") { Action = new OwnHelp(), Recursive = true });
        foreach (var (_, create) in All)
            root.Subcommands.Add(create(line));
        return root;
    }

    /// <summary>Name and first sentence of those that help lists.</summary>
    public static IReadOnlyList<(string Name, string Description)> Descriptions() =>
        [
            .. from command in Tree(OwnLine.Empty).Subcommands
            where !command.Hidden
            select (command.Name, command.Description ?? ""),
        ];

    /// <summary>Parses the words and runs the command. Answers its exit code.</summary>
    /// <exception cref="UserException">The words are not a command.</exception>
    public static int Run(OwnLine line)
    {
        var parse = Tree(line).Parse(line.Words, Parser);
        if (parse.Action is not OwnHelp && parse.Errors is [var error, ..])
            throw new UserException(error.Message);
        return parse.Invoke(new() { EnableDefaultExceptionHandler = false });
    }

    /// <summary>A word is what it says: no file of words behind @.</summary>
    public static ParserConfiguration Parser { get; } =
        new() { ResponseFileTokenReplacer = null, EnablePosixBundling = false };
}
