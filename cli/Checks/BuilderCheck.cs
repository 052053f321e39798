// SPDX-License-Identifier: Apache-2.0
using System.Text.RegularExpressions;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Whether builds with BuildKit get devices. The engine asks no plugin about them. docker buildx names the
/// devices; whether the engine's configuration closes them to builds is in no answer, so an empty build asks for
/// one.</summary>
/// <param name="questions">The docker.</param>
/// <param name="requiresQuota">Whether the policy requires quotas; null: not known.</param>
sealed partial class BuilderCheck(DockerQuestions questions, bool? requiresQuota)
{
    const string Check = "buildkit";
    const int MaxDevices = 5;
    const string Remedy =
        "\"builder\": { \"Entitlements\": { \"device\": false } } in /etc/docker/daemon.json, then restart Docker";

    /// <summary>Asks docker buildx.</summary>
    public Finding Find()
    {
        var answer = questions.Ask("buildx", "inspect");
        if (!answer.IsDone)
            return Finding.Unknown(
                Check,
                Missing().IsMatch(answer.Error)
                    ? "docker buildx is not installed: not checked"
                    : $"docker buildx does not name the builder's devices: {answer.Words}"
            );
        if (Driver().Match(answer.Out) is not { Success: true } driver || driver.Groups[1].Value != "docker")
            return Finding.Unknown(
                Check,
                "docker buildx uses a builder that is not the engine's: not checked. docker buildx use default selects "
                    + "the engine's"
            );
        string[] devices = [.. Device().Matches(answer.Out).Select(device => device.Groups[1].Value).Distinct()];
        if (devices is [])
            return Error().Match(answer.Out) is { Success: true } error
                ? Finding.Unknown(Check, $"docker buildx inspect: {DockerAnswer.OneLine(error.Groups[1].Value)}")
                : Finding.Ok(Check, "the engine's builder has no devices");
        var names = string.Join(", ", devices.Take(MaxDevices)) + (devices.Length > MaxDevices ? ", …" : "");
        return Build(devices[0], names);
    }

    /// <summary>An image of no layers, which is not kept.</summary>
    Finding Build(string device, string names)
    {
        var folder = Directory.CreateTempSubdirectory("runai-docker-");
        try
        {
            File.WriteAllText(Path.Combine(folder.FullName, "Dockerfile"), "FROM scratch\n");
            string[] words = ["buildx", "build", "--allow", $"device={device}", "--output", "type=cacheonly"];
            return Read(questions.Ask([.. words, folder.FullName]), names);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    Finding Read(DockerAnswer answer, string names)
    {
        if (answer.IsDone)
            return requiresQuota == true
                ? Finding.Problem(
                    Check,
                    $"the policy requires quotas, and builds can use devices ({names}) without one: the engine does "
                        + "not ask the plugin about builds",
                    Remedy
                )
                : Finding.Ok(Check, $"builds can use devices ({names}), and the policy requires no quota");
        return answer.Error.Contains("device is not allowed", StringComparison.Ordinal)
            ? Finding.Ok(Check, "the engine closes devices to builds")
            : Finding.Unknown(
                Check,
                $"the engine's builder has devices ({names}); whether builds get them is not known: {answer.Words}"
            );
    }

    /// <summary>As the docker CLI says it before version 28, and since.</summary>
    [GeneratedRegex("'buildx' is not a docker command|unknown command: docker buildx")]
    private static partial Regex Missing();

    [GeneratedRegex(@"^Driver:\s+(\S+)", RegexOptions.Multiline)]
    private static partial Regex Driver();

    [GeneratedRegex(@"^Error:\s+(.+)", RegexOptions.Multiline)]
    private static partial Regex Error();

    /// <summary>CDI's names. Names of builders and nodes are not indented.</summary>
    [GeneratedRegex(@"^[ \t]+Name:[ \t]+([^ \t\n]+/[^ \t\n]+=[^ \t\n]+)[ \t]*$", RegexOptions.Multiline)]
    private static partial Regex Device();
}
