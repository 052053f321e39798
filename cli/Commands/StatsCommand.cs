// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Help;
using Runai.GpuMemory.Cli.Status;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>stats</c>: use of GPU memory, live. On a terminal redrawn in place, elsewhere row after row.</summary>
sealed class StatsCommand : PluginCommand
{
    /// <summary>The plugin measures as often.</summary>
    static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    static readonly string[] Header = ["CONTAINER ID", "NAME", "GPU", "GPU MEM USAGE / LIMIT", "GPU MEM %", "GPU %"];

    readonly Option<bool> _noStream = new("--no-stream") { Description = "Print the figures once" };

    readonly Option<string> _format = Formats.Option();

    readonly Argument<string[]> _names = new("NAME") { HelpName = "[NAME...]", Arity = ArgumentArity.ZeroOrMore };

    public StatsCommand(OwnLine line)
        : base("stats", "Display a live stream of what containers use of which GPU, every 2 seconds")
    {
        Options.Add(_noStream);
        Options.Add(_format);
        Arguments.Add(_names);
        SetAction(parse => Run(line, parse));
    }

    int Run(OwnLine line, ParseResult parse)
    {
        var interruption = line.Docker!.Interruption;
        try
        {
            return Show(line, parse);
        }
        catch (UserException) when (interruption?.ExitCode is not null)
        {
            return interruption.ExitCode.Value;
        }
    }

    int Show(OwnLine line, ParseResult parse)
    {
        var (output, error) = (parse.InvocationConfiguration.Output, parse.InvocationConfiguration.Error);
        var reader = new StatusReader(line.Channel);
        var isJson = parse.GetValue(_format) == Formats.Json;
        var isRedrawn = line.Terminal.IsTerminal && !isJson && !parse.GetValue(_noStream);
        var view = isRedrawn ? StatusView.Read(reader) : StatusView.Read(reader, error);
        if (view.Containers is null)
            return GpusCommand.PrintSums(view, line.Terminal, parse, hasTable: !isJson);
        var names = parse.GetValue(_names) ?? [];
        Check(names, view.Containers);
        output.Write(isRedrawn ? Terminal.Clear : "");
        try
        {
            for (var skip = 0; ; skip = isJson ? 0 : 1)
            {
                var rows = Rows(view, names);
                IReadOnlyList<string> lines = isJson
                    ? [.. rows.Select(row => Formats.Line(row.Json(isWhole: false)))]
                    : Table.Lines(Header, [.. rows.Select(Cells)], line.Terminal.HasColours);
                output.Write(
                    isRedrawn
                        ? line.Terminal.Frame([.. view.Warnings, .. lines])
                        : string.Concat(lines.Skip(skip).Select(one => one + "\n"))
                );
                if (parse.GetValue(_noStream))
                    return 0;
                line.Docker!.Interruption?.Wait(Interval);
                line.Docker.Interruption?.ThrowIfCame();
                view = StatusView.Read(reader);
            }
        }
        finally
        {
            // On the screen they were as long as its lines.
            if (isRedrawn)
                view.WriteWarnings(error);
        }
    }

    /// <summary>Each name is a container's, or begins an ID.</summary>
    static void Check(string[] names, IReadOnlyList<ContainerStatus> containers)
    {
        foreach (var name in names)
        {
            if (name.StartsWith('-'))
                throw new UserException(
                    $"unknown option {Printable.Text(name)}: docker runai stats --help",
                    exitCode: 1
                );
            if (!containers.Any(container => IsNamed(container, name)))
                throw new UserException(
                    $"no container {Printable.Text(name)} runs with a quota or a GPU: "
                        + "docker runai ps lists those that do",
                    exitCode: 1
                );
        }
    }

    static bool IsNamed(ContainerStatus container, string name) =>
        container.Name == name || name.Length > 0 && container.Id?.StartsWith(name, StringComparison.Ordinal) == true;

    static IEnumerable<ContainerRow> Rows(StatusView view, string[] names) =>
        from row in ContainerRow.Of(view.Containers ?? [])
        where names.Length == 0 || names.Any(name => IsNamed(row.Container, name))
        select row;

    static Cell[] Cells(ContainerRow row) =>
        [
            row.Id(isWhole: false),
            row.Name(isWhole: false),
            row.GpuIndex,
            new(row.Use, Cell.OfState(row.Container.State).Colour),
            row.Percent,
            row.GpuPercent,
        ];
}
