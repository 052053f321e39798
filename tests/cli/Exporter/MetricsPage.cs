// SPDX-License-Identifier: Apache-2.0
using System.Text;
using System.Text.Json;
using Runai.GpuMemory.Cli.Exporter;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Status;
using Runai.GpuMemory.CliTests.Commands;

namespace Runai.GpuMemory.CliTests.Exporter;

/// <summary>The page of metrics of a status.</summary>
static class MetricsPage
{
    const string All = """
        "Enforced":true,"Plugin":"0.2.0","Time":"2026-11-30T10:00:00.500Z","Decisions":[
        {"Verdict":"denied","Rule":"bind-mount","Count":3},{"Verdict":"allowed","Rule":"","Count":12}],
        """;

    /// <summary>The answer of a plugin that knows everything.</summary>
    public static string Answer(int containers) => ShownStatus.Answer(containers, All);

    /// <summary>The page of such an answer.</summary>
    public static string Text(int containers) => Text(Answer(containers));

    public static string Text(string answer) => Encoding.UTF8.GetString(MetricsText.Of(Report(answer)));

    static StatusReport Report(string answer)
    {
        var volumes = JsonSerializer.Deserialize(answer, QuestionJson.Default.InspectedVolumeArray)!;
        return volumes[0].Status!.Value.Deserialize(StatusJson.Default.StatusReport)!;
    }

    /// <summary>The names of all metrics.</summary>
    public static string[] Names { get; } =
    [.. Text(1).Split('\n').Where(line => line.StartsWith("# TYPE ")).Select(line => line.Split(' ')[2]).Order()];
}
