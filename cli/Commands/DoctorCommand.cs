// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using Runai.GpuMemory.Cli.Checks;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>doctor</c>: what is wrong, and how to fix it.</summary>
sealed class DoctorCommand : Command
{
    const int MaxWidth = 1000;

    static readonly string[] Header = ["CHECK", "BY", "STATE", "FOUND"];

    readonly Option<string> _format = Formats.Option();

    public DoctorCommand(OwnLine line)
        : base(
            "doctor",
            "Check the engine, the plugin and this program; print what is wrong and how to fix it.\n"
                + "Exit code 0: no problem, 1: problems, 2: no answer."
        )
    {
        Options.Add(_format);
        SetAction(parse => Run(line, parse));
    }

    int Run(OwnLine line, ParseResult parse)
    {
        Finding[] findings = [.. new Doctor(line.DockerOrThrow, line.Installation).Examine()];
        var lines =
            parse.GetValue(_format) == Formats.Json
                ? findings.Select(finding => Formats.Line(Json(finding)))
                : Table.Lines(Header, [.. findings.SelectMany(Rows)], line.Terminal.HasColours).Append(Sum(findings));
        parse.InvocationConfiguration.Output.Write(string.Concat(lines.Select(text => text + "\n")));
        return Doctor.ExitCode(findings);
    }

    /// <summary>One row, and a second one for how to fix it.</summary>
    static IEnumerable<Cell[]> Rows(Finding finding)
    {
        var about = finding.Container is null ? "" : $"{finding.Container}: ";
        yield return [Text(finding.Check), finding.By, Cell.OfState(finding.State), Text(about + finding.Message)];
        if (finding.Remedy is not "")
            yield return ["", "", "", Text($"fix: {finding.Remedy}")];
    }

    static string Text(string text) => Printable.Cut(Printable.Text(text), MaxWidth);

    static string Sum(Finding[] findings)
    {
        // Without an engine, or a docker, nothing else is looked at.
        if (findings is [{ State: Finding.IsSilent, Check: var check }])
            return check == EngineChecks.Engine
                ? "not checked: the engine does not answer"
                : "not checked: docker cannot be asked";
        int Count(string state) => findings.Count(finding => finding.State == state);
        string[] parts =
        [
            .. Count(Finding.IsProblem) switch
            {
                0 when Count(Finding.IsSilent) > 0 => (string[])[],
                0 => ["no problem found"],
                1 => ["1 problem"],
                var problems => [$"{problems} problems"],
            },
            .. Count(Finding.IsUnknown) is > 0 and var unknown ? [$"not checked: {unknown}"] : (string[])[],
            .. Count(Finding.IsSilent) > 0 ? ["no answer"] : (string[])[],
        ];
        return string.Join(", ", parts);
    }

    static FindingRow Json(Finding finding) =>
        new(finding.Check, finding.By, finding.State, finding.Container, finding.Message, finding.Remedy);
}
