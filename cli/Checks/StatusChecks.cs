// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Status;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Whether the plugin answers, and what its own checks found.</summary>
/// <param name="Report">Null: it did not answer.</param>
/// <param name="Answers">Whether it did, and what of it this caller may not see.</param>
/// <param name="OfPlugin">What it found; the checks that passed first.</param>
sealed record StatusChecks(StatusReport? Report, Finding Answers, IReadOnlyList<Finding> OfPlugin)
{
    const string Status = "status";
    const string Plugin = "plugin";
    const string Chain = "chain";
    const int MaxProblems = 200;
    const int MaxChecks = 50;

    const string SumsOnly =
        "the policy (\"status\": \"own\") shows you, without a TLS name, neither containers nor problems";

    const string OwnOnly =
        "the policy (\"status\": \"own\") shows you the problems of the host and of your containers only";

    const string AskAdmin = "for the rest ask an admin to run docker runai doctor";

    /// <summary>Reads the plugin's status.</summary>
    public static StatusChecks Of(DockerQuestions questions)
    {
        var reader = new StatusReader(questions.Channel);
        return questions.Try(() => Of(reader.Read(), reader.IsOwn), problem => new(null, Silent(problem), []));
    }

    /// <summary>Whether the plugin found the same problem. Its check of the engine's chain of plugins has another
    /// name.</summary>
    public bool Says(Finding finding)
    {
        var check = finding.Check == PluginChecks.Asks ? Chain : finding.Check;
        return finding.State == Finding.IsProblem
            && OfPlugin.Any(one => one.Check == check && one.State == Finding.IsProblem);
    }

    static Finding Silent(string problem) =>
        Finding.Silent(
            Status,
            $"the plugin gives no status: {DockerAnswer.OneLine(problem)}",
            "solve the problems above; the plugin's log is in Docker's: journalctl -u docker"
        );

    static StatusChecks Of(StatusReport report, bool isOwn)
    {
        if (report.Problems is not { } problems)
            return new(report, Finding.Unknown(Status, SumsOnly, AskAdmin), []);
        var answers = isOwn
            ? Finding.Unknown(Status, OwnOnly, AskAdmin)
            : Finding.Ok(Status, problems.Count == 0 ? "the plugin finds no problem" : "the plugin answers");
        var failed = problems.Select(problem => problem.Check).ToHashSet();
        return new(
            report,
            answers,
            [
                .. (report.Checks ?? [])
                    .Where(check => !failed.Contains(check))
                    .Take(MaxChecks)
                    .Select(check => new Finding(check, Plugin, Finding.IsOk, "no problem found")),
                .. problems.Take(MaxProblems).Select(Read),
            ]
        );
    }

    static Finding Read(StatusProblem problem) =>
        new(
            problem.Check ?? "-",
            Plugin,
            Finding.IsProblem,
            problem.Message ?? "-",
            problem.Remedy ?? "",
            problem.Container
        );
}
