// SPDX-License-Identifier: Apache-2.0
using System.Text;
using System.Text.RegularExpressions;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Help;

/// <summary>Docker's own help, with the commands and the option that this program adds.</summary>
static partial class DockerHelp
{
    /// <summary>Whether docker would print help that has something of ours.</summary>
    public static bool IsAskedBy(DockerLine line)
    {
        if (line.CommandAt is null)
            return !line.Of(WordKind.Global).Any(word => word.Is("--version"u8) || word.Is("-v"u8));
        return line.Of(WordKind.Command).First().Is("help"u8)
            || line.Of(WordKind.Option).Any(word => word.Is("--help"u8))
                && !line.Of(WordKind.Option).Any(word => word.Begins("--help="u8));
    }

    /// <summary>Prints it, and answers docker's exit code.</summary>
    /// <param name="docker">The docker that prints it.</param>
    /// <param name="words">What docker gets.</param>
    /// <param name="commands">This program's own: name and description.</param>
    /// <param name="isPlugin">Whether the docker CLI called this program as its plugin.</param>
    public static int Show(
        DockerProcess docker,
        IReadOnlyList<byte[]> words,
        IReadOnlyList<(string Name, string Description)> commands,
        bool isPlugin
    )
    {
        var output = docker.Capture(words, hasInput: true);
        Write(Console.OpenStandardOutput(), output.Out);
        Write(Console.OpenStandardError(), output.Error);
        return output.Code;

        void Write(Stream stream, byte[] printed) =>
            stream.Write(
                printed.AsSpan().IndexOf("Usage:"u8) >= 0
                    ? Encoding.UTF8.GetBytes(Add(Encoding.UTF8.GetString(printed), commands, isPlugin))
                    : printed
            );
    }

    /// <summary>Adds to the help of run and create the option, to the help of docker the commands, in place of docker's
    /// that have their names. As docker's plugin, they come first.</summary>
    /// <param name="help">As docker prints it.</param>
    /// <param name="commands">This program's own: name and description.</param>
    /// <param name="isPlugin">Whether the docker CLI called this program as its plugin.</param>
    public static string Add(
        string help,
        IReadOnlyList<(string Name, string Description)> commands,
        bool isPlugin = false
    )
    {
        if (Gpus().Match(help) is { Success: true } gpus)
            return help.Insert(gpus.Index, OptionLine(gpus.Groups[1].Length));
        if (Footer().Match(help) is not { Success: true } footer)
            return help;
        var (before, after) = (Without(help[..footer.Index], commands), help[footer.Index..]);
        if (!isPlugin || Title().Match(before) is not { Success: true } title)
            return before + Section(commands) + after;
        return Named(before[..title.Index]) + Section(commands) + before[title.Index..] + Named(after);
    }

    /// <summary>With the words that call this program.</summary>
    static string Named(string text) =>
        text.Replace("docker [OPTIONS] COMMAND", "docker runai COMMAND", StringComparison.Ordinal)
            .Replace("'docker COMMAND --help'", "'docker runai COMMAND --help'", StringComparison.Ordinal);

    static string Without(string help, IReadOnlyList<(string Name, string Description)> commands) =>
        string.Join(
            '\n',
            from line in help.Split('\n')
            where !commands.Any(command => line.StartsWith($"  {command.Name} ", StringComparison.Ordinal))
            select line
        );

    static string OptionLine(int width) =>
        $"      {GpuMemoryOption.Name} {GpuMemoryOption.HelpName}".PadRight(width) + GpuMemoryOption.Description + "\n";

    static string Section(IReadOnlyList<(string Name, string Description)> commands) =>
        $"{Table(commands)}\nGPU Memory Option of run and create:\n{OptionLine(27)}\n";

    /// <summary>This program's own commands, a line each below a title.</summary>
    public static string Table(IReadOnlyList<(string Name, string Description)> commands)
    {
        var text = new StringBuilder("GPU Memory Commands:\n");
        var width = commands.Max(command => command.Name.Length);
        foreach (var (name, description) in commands)
            text.Append($"  {name.PadRight(width)}  {description}\n");
        return text.ToString();
    }

    [GeneratedRegex("^( +--gpus [^ ]+ +).*$", RegexOptions.Multiline)]
    private static partial Regex Gpus();

    /// <summary>Of docker's first list, of commands or options.</summary>
    [GeneratedRegex("^[A-Z][A-Za-z ]*:$", RegexOptions.Multiline)]
    private static partial Regex Title();

    [GeneratedRegex("^Run 'docker COMMAND --help'", RegexOptions.Multiline)]
    private static partial Regex Footer();
}
