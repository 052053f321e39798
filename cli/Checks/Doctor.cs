// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Docker;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Makes this program's checks by running docker, and adds what the plugin found.</summary>
/// <param name="docker">The docker of the engine that is examined.</param>
/// <param name="installation">Where this program is.</param>
/// <param name="limit">How long one call of docker may take; null: 20 seconds.</param>
sealed class Doctor(DockerProcess docker, Installation installation, TimeSpan? limit = null)
{
    /// <summary>An ssh context may have to ask for a password.</summary>
    static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    readonly DockerQuestions _questions = new(docker.WithLimit(limit ?? Limit));

    /// <summary>What all checks found, in the order in which they build on each other. Without an engine that answers
    /// there is one finding. What the plugin finds too is the plugin's, which sees more of the host.</summary>
    public IEnumerable<Finding> Examine()
    {
        var programs = new ProgramChecks(installation);
        if (programs.FindLoop(docker.Program) is { } loop)
            return [loop];
        var engine = EngineChecks.Of(_questions);
        if (engine.Versions.State == Finding.IsSilent)
            return [engine.Versions];
        var status = StatusChecks.Of(_questions);
        var plugin = PluginChecks.Of(_questions, engine.Info, status.Report);
        var requiresQuota = status.Report?.Policy?.RequireQuota;
        Finding[] own =
        [
            engine.Versions,
            engine.OfRuntime(requiresQuota),
            plugin.Installed,
            plugin.Authorization,
            BodyProbe.Find(_questions, plugin, status.Report is not null),
            new BuilderCheck(_questions, requiresQuota).Find(),
            .. programs.Find(engine.Info, status.Report),
            status.Answers,
        ];
        return own.Where(finding => !status.Says(finding)).Concat(status.OfPlugin);
    }

    /// <summary>0: no problem, 1: problems, 2: no answer.</summary>
    public static int ExitCode(IReadOnlyList<Finding> findings) =>
        findings.Any(finding => finding.State == Finding.IsSilent) ? 2
        : findings.Any(finding => finding.State == Finding.IsProblem) ? 1
        : 0;
}
