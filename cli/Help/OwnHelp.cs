// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Runai.GpuMemory.Cli.Help;

/// <summary>The help of this program's own commands, in the manner of docker's.</summary>
sealed class OwnHelp : SynchronousCommandLineAction
{
    public override int Invoke(ParseResult parseResult)
    {
        Write(parseResult.CommandResult.Command, parseResult.InvocationConfiguration.Output);
        return 0;
    }

    public static void Write(Command command, TextWriter output)
    {
        output.WriteLine("Usage:");
        foreach (var leaf in Leaves(command))
            output.WriteLine($"  {Usage(leaf)}");
        output.WriteLine($"\n{command.Description}");
        WriteTable(output, "Commands", Visible(command.Subcommands).Select(sub => (sub.Name, sub.Description ?? "")));
        WriteTable(output, "Options", Options(command).Select(option => (Spelling(option), option.Description ?? "")));
    }

    /// <summary>The commands below one that do something; itself where there are none.</summary>
    public static IEnumerable<Command> Leaves(Command command) =>
        command.Subcommands.Count == 0 ? [command] : Visible(command.Subcommands).SelectMany(Leaves);

    /// <summary>As in <c>runai-docker policy ask [--user NAME] [--policy FILE] COMMAND</c>.</summary>
    public static string Usage(Command command) => string.Join(' ', Path(command).Concat(Parameters(command)));

    /// <summary>The same without the name of this program; <c>docker runai</c> stays.</summary>
    public static string ShortUsage(Command command) =>
        Usage(command) is var usage && usage.StartsWith("runai-docker ", StringComparison.Ordinal)
            ? usage["runai-docker ".Length..]
            : usage;

    /// <summary>Its options, but for help.</summary>
    public static IEnumerable<Option> Options(Command command) =>
        command.Options.Where(option => option is not HelpOption && !option.Hidden);

    /// <summary>As in <c>-a, --all</c> and <c>--user NAME</c>.</summary>
    public static string Spelling(Option option) => string.Concat(option.Aliases.Select(a => $"{a}, ")) + Long(option);

    static string Long(Option option) => option.HelpName is { } value ? $"{option.Name} {value}" : option.Name;

    /// <summary>The names from the program on.</summary>
    static IEnumerable<string> Path(Command command)
    {
        if (command is PluginCommand)
            return ["docker", "runai", command.Name];
        var parent = command.Parents.OfType<Command>().FirstOrDefault();
        return parent is null ? [command.Name] : Path(parent).Append(command.Name);
    }

    static IEnumerable<string> Parameters(Command command) =>
        [
            .. Options(command).Select(option => $"[{Long(option)}]"),
            .. command.Arguments.Select(argument =>
                argument.HelpName
                ?? (argument.Arity.Equals(ArgumentArity.ZeroOrOne) ? $"[{argument.Name}]" : argument.Name)
            ),
        ];

    static IEnumerable<Command> Visible(IEnumerable<Command> commands) => commands.Where(command => !command.Hidden);

    static void WriteTable(TextWriter output, string title, IEnumerable<(string Name, string Description)> rows)
    {
        var all = rows.ToArray();
        if (all.Length == 0)
            return;
        output.WriteLine($"\n{title}:");
        var width = all.Max(row => row.Name.Length);
        foreach (var (name, description) in all)
            output.WriteLine($"  {name.PadRight(width)}   {description.Split('\n')[0]}");
    }
}
