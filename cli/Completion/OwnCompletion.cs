// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using System.CommandLine.Completions;
using Runai.GpuMemory.Cli.Commands;
using Runai.GpuMemory.Cli.Help;

namespace Runai.GpuMemory.Cli.Completion;

/// <summary>Completes the words of this program's own commands, by the tree that parses them.</summary>
static class OwnCompletion
{
    /// <summary>The candidates for a value, an option, a command or an argument, whichever the word is.</summary>
    /// <param name="line">The words before, all of them this program's.</param>
    /// <param name="current">What there is of the word.</param>
    public static Candidates Of(OwnLine line, string current)
    {
        var command = OwnCommands.Tree(line).Parse(line.Words, OwnCommands.Parser).CommandResult.Command;
        if (OptionBefore(line, command) is { } option)
            return ValuesOf(option, option.HelpName);
        if (current.StartsWith('-'))
            return new([.. from known in OwnHelp.Options(command) select (known.Name, known.Description ?? "")]);
        if (command is PolicyAskCommand)
            return new([.. from known in PolicyAskCommand.Known select (known, "")]);
        return command.Arguments is [var argument, ..]
            ? ValuesOf(argument, argument.Name)
            : new([.. from sub in command.Subcommands select (sub.Name, sub.Description ?? "")]);
    }

    /// <summary>The option whose value is completed; null: there is none.</summary>
    static Option? OptionBefore(OwnLine line, Command command) =>
        OwnHelp
            .Options(command)
            .FirstOrDefault(option =>
                option.HelpName is not null
                && (option.Name == line.Words[^1] || option.Aliases.Contains(line.Words[^1]))
            );

    static Candidates ValuesOf(Symbol symbol, string? name) =>
        name == "FILE"
            ? Candidates.Files
            : new([.. from value in symbol.GetCompletions(CompletionContext.Empty) select (value.Label, "")]);
}
