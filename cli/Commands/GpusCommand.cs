// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using Runai.GpuMemory.Cli.Status;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>gpus</c>: what each GPU has, and what is promised of it.</summary>
sealed class GpusCommand : Command
{
    const int NameWidth = 40;

    static readonly string[] Header =
    [
        "GPU",
        "NAME",
        "TOTAL",
        "PROMISED",
        "USED",
        "FREE TO PROMISE",
        "CONTAINERS",
        "STATE",
    ];

    readonly Option<string> _format = Formats.Option();

    public GpusCommand(OwnLine line)
        : base("gpus", "List the GPUs, and how much of each is promised, used and free")
    {
        Options.Add(_format);
        SetAction(parse => Run(line, parse));
    }

    int Run(OwnLine line, ParseResult parse)
    {
        var view = StatusView.Read(new(line.Channel), parse.InvocationConfiguration.Error);
        if (parse.GetValue(_format) == Formats.Json)
            parse.InvocationConfiguration.Output.Write(
                string.Concat(view.Gpus.Select(gpu => Formats.Line(Json(gpu)) + "\n"))
            );
        else
            Print(view, line.Terminal, parse.InvocationConfiguration.Output);
        return 0;
    }

    /// <summary>For a caller who may not see the containers. Answers the exit code: 1 where nothing is
    /// printed.</summary>
    /// <param name="view">The sums.</param>
    /// <param name="terminal">Where they are printed.</param>
    /// <param name="parse">Has the output.</param>
    /// <param name="hasTable">Whether they fit into what is printed.</param>
    public static int PrintSums(StatusView view, Terminal terminal, ParseResult parse, bool hasTable)
    {
        parse.InvocationConfiguration.Error.WriteLine(StatusView.SumsOnly);
        if (hasTable)
            Print(view, terminal, parse.InvocationConfiguration.Output);
        return hasTable ? 0 : 1;
    }

    static void Print(StatusView view, Terminal terminal, TextWriter output)
    {
        var lines = Table.Lines(Header, [.. view.Gpus.Select(Cells)], terminal.HasColours);
        output.Write(string.Concat(lines.Select(line => line + "\n")));
    }

    static Cell[] Cells(GpuStatus gpu) =>
        [
            $"{gpu.Index}",
            Printable.Cut(Printable.Text(gpu.Name), NameWidth),
            Figure.Size(gpu.TotalBytes),
            Figure.Size(gpu.PromisedBytes),
            Figure.Size(gpu.UsedBytes),
            Figure.Size(gpu.FreeToPromiseBytes),
            $"{gpu.Containers}",
            Cell.OfState(gpu.State),
        ];

    static GpuRow Json(GpuStatus gpu) =>
        new(
            $"{gpu.Index}",
            gpu.Uuid ?? Printable.Unknown,
            gpu.Name ?? Printable.Unknown,
            Figure.Size(gpu.TotalBytes),
            Figure.Size(gpu.PromisedBytes),
            Figure.Size(gpu.UsedBytes),
            Figure.Size(gpu.FreeToPromiseBytes),
            $"{gpu.Containers}",
            gpu.State ?? Printable.Unknown,
            gpu.TotalBytes,
            gpu.PromisedBytes,
            gpu.UsedBytes,
            gpu.FreeToPromiseBytes
        );
}
