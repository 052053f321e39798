// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using Runai.GpuMemory.Cli.Help;
using Runai.GpuMemory.Cli.Status;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>ps</c>: who has how much of which GPU, a row for each container and GPU.</summary>
sealed class PsCommand : PluginCommand
{
    static readonly string[] Header =
    [
        "CONTAINER ID",
        "NAME",
        "USER",
        "GPU",
        "QUOTA",
        "USED / LIMIT",
        "%",
        "REFUSED",
        "STATE",
    ];

    readonly Option<bool> _all = new("--all", "-a") { Description = "Show stopped containers with a quota too" };
    readonly Option<bool> _quiet = new("--quiet", "-q") { Description = "Only print container IDs" };
    readonly Option<bool> _noTrunc = new("--no-trunc") { Description = "Do not cut IDs, names and users" };

    readonly Option<string[]> _filter = new("--filter", "-f")
    {
        HelpName = "KEY=VALUE",
        Description = "Only those with this user, gpu (index or UUID) or state, or text in the name",
        CompletionSources = { "user=", "name=", "gpu=", "state=" },
    };

    readonly Option<string> _format = Formats.Option();

    public PsCommand(OwnLine line)
        : base("ps", "List containers with a quota or a GPU, and what they use of which GPU")
    {
        Options.Add(_all);
        Options.Add(_quiet);
        Options.Add(_noTrunc);
        Options.Add(_filter);
        Options.Add(_format);
        SetAction(parse => Run(line, parse));
    }

    int Run(OwnLine line, ParseResult parse)
    {
        var filter = RowFilter.Read(parse.GetValue(_filter) ?? []);
        var view = StatusView.Read(new(line.Channel), parse.InvocationConfiguration.Error);
        var hasTable = parse.GetValue(_format) == Formats.Table && !parse.GetValue(_quiet);
        if (view.Containers is not { } running)
            return GpusCommand.PrintSums(view, line.Terminal, parse, hasTable);
        // One that ended in between is in both.
        var all = parse.GetValue(_all)
            ? running.Concat(StoppedContainers.Read(line.Docker!)).DistinctBy(container => container.Id)
            : running;
        var isWhole = parse.GetValue(_noTrunc);
        var rows = ContainerRow.Of(all).Where(filter.Takes).ToArray();
        var output = parse.InvocationConfiguration.Output;
        if (parse.GetValue(_quiet))
            output.Write(Lines(rows.Select(row => row.Id(isWhole)).Distinct()));
        else if (parse.GetValue(_format) == Formats.Json)
            output.Write(Lines(rows.Select(row => Formats.Line(row.Json(isWhole)))));
        else
            output.Write(
                Lines(Table.Lines(Header, [.. rows.Select(row => Cells(row, isWhole))], line.Terminal.HasColours))
            );
        return 0;
    }

    static Cell[] Cells(ContainerRow row, bool isWhole) =>
        [
            row.Id(isWhole),
            row.Name(isWhole),
            row.User(isWhole),
            row.GpuIndex,
            row.Quota(isWhole),
            row.Use,
            row.Percent,
            new(row.Refused, row.Gpu?.Refused > 0 ? Colour.Yellow : null),
            Cell.OfState(row.Container.State),
        ];

    static string Lines(IEnumerable<string> lines) => string.Concat(lines.Select(line => line + "\n"));
}
