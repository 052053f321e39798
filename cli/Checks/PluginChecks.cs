// SPDX-License-Identifier: Apache-2.0
using System.Text.RegularExpressions;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Status;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Whether the plugin is installed and enabled, and whether the engine asks it about API calls.</summary>
/// <param name="Name">The plugin's, with its tag; null: not found.</param>
/// <param name="Others">Authorization plugins that docker names beside it.</param>
/// <param name="IsAsked">Whether a question of this program's came to it.</param>
/// <param name="Installed">By docker plugin ls.</param>
/// <param name="Authorization">By a question, by the plugin's own word and by docker info.</param>
sealed partial record PluginChecks(
    string? Name,
    IReadOnlyList<string> Others,
    bool IsAsked,
    Finding Installed,
    Finding Authorization
)
{
    const string Plugin = "plugin";

    /// <summary>The name of the check that finds whether the engine asks the plugin.</summary>
    public const string Asks = "authorization";

    /// <summary>Asks docker, and the plugin by a call that it answers and does not let be done.</summary>
    /// <param name="questions">The docker.</param>
    /// <param name="info">What docker says of the engine; names the plugins of the engine's start.</param>
    /// <param name="status">The plugin's; null: it did not answer.</param>
    public static PluginChecks Of(DockerQuestions questions, DockerInfo? info, StatusReport? status)
    {
        var chain = info?.Plugins?.Authorization ?? [];
        var listed = questions.Ask("plugin", "ls", "--no-trunc", "--format", "{{json .}}");
        var found = Choose(listed, chain);
        string[] others = [.. chain.Where(name => !(found?.IsNamed(name) ?? InstalledPlugin.NamesUs(name))).Distinct()];
        var isNamed = chain.Count > others.Length;
        var refusal = questions.Try<string?>(
            () =>
            {
                questions.Channel.AskPolicy(new QuestionHeaders());
                return null;
            },
            problem => problem
        );
        return new(
            found?.Name,
            others,
            refusal is null,
            OfInstalled(found, listed),
            OfAsking(found, isNamed, others, refusal, status)
        );
    }

    /// <summary>During an upgrade there are two: the one that is enabled and named counts.</summary>
    static InstalledPlugin? Choose(DockerAnswer listed, IReadOnlyList<string> chain) =>
        listed
            .Out.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => DockerQuestions.Read(line, DockerJson.Default.InstalledPlugin))
            .OfType<InstalledPlugin>()
            .Where(plugin => plugin.IsOurs)
            .OrderByDescending(plugin => plugin.Enabled)
            .ThenByDescending(plugin => chain.Any(plugin.IsNamed))
            .FirstOrDefault();

    static Finding OfInstalled(InstalledPlugin? found, DockerAnswer listed) =>
        found switch
        {
            { Enabled: true } => Finding.Ok(Plugin, $"{found.Name} is installed and enabled"),
            { } => Finding.Problem(
                Plugin,
                $"{found.Name} is disabled",
                $"docker plugin enable {found.Name}, then systemctl reload docker"
            ),
            _ when !listed.IsDone => Finding.Unknown(Plugin, $"docker plugin ls failed: {listed.Words}"),
            _ => Finding.Problem(
                Plugin,
                "the engine has no plugin runai/gpu-memory",
                "install it: docs/operate.md, Install. Is this the engine that you mean? docker context ls"
            ),
        };

    static Finding OfAsking(
        InstalledPlugin? found,
        bool isNamed,
        string[] others,
        string? refusal,
        StatusReport? status
    )
    {
        var also = others.Length > 0 ? $"; docker info also names {string.Join(", ", others)}" : "";
        if (refusal is null && status is null or { Enforced: not false })
            return Finding.Ok(Asks, $"the engine asks the plugin about API calls{also}");
        if (refusal is null)
            return Finding.Problem(
                Asks,
                $"the plugin gets your calls, and does not find out whether the engine asks it about all{also}",
                "see the check chain, or ask an admin to run docker runai doctor"
            );
        if (Other().Match(refusal) is { Success: true } other)
            return Finding.Unknown(
                Asks,
                $"the authorization plugin {other.Groups[1].Value} refused the question before the plugin got it"
            );
        if (status?.Enforced == true)
            return Finding.Unknown(
                Asks,
                "the engine asks the plugin, and a question of yours did not reach it"
                    + (refusal == QuestionChannel.Unasked ? "" : $": {DockerAnswer.OneLine(refusal)}")
            );
        var name = found?.Name?.Replace(":latest", "", StringComparison.Ordinal) ?? "runai/gpu-memory";
        var since = isNamed ? ". It did at its start: the plugin was disabled, or removed from daemon.json" : "";
        return Finding.Problem(
            Asks,
            $"the engine does not ask the plugin about API calls, so no quota is enforced{since}{also}",
            $"see that /etc/docker/daemon.json has \"authorization-plugins\": [\"{name}\"], then, while the plugin is "
                + "enabled, systemctl reload docker, or kill -HUP $(cat /run/docker.pid)"
        );
    }

    [GeneratedRegex("denied by plugin ([^ ]+): ")]
    private static partial Regex Other();
}
