// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Docker;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Whether docker and its engine are of a release that works, and what docker says of the engine.</summary>
/// <param name="Info">What docker says of the engine and itself; null: nothing.</param>
/// <param name="Versions">No answer where docker reaches no engine.</param>
sealed record EngineChecks(DockerInfo? Info, Finding Versions)
{
    /// <summary>The name of the check that finds whether the engine answers.</summary>
    public const string Engine = "engine";

    const string DefaultRuntime = "runtime";
    static readonly Version Oldest = new(20, 10);

    /// <summary>Asks docker.</summary>
    public static EngineChecks Of(DockerQuestions questions)
    {
        var versions = OfVersions(questions.Ask("version", "--format", "{{json .}}"));
        if (versions.State == Finding.IsSilent)
            return new(null, versions);
        var answer = questions.Ask("info", "--format", "{{json .}}");
        return new(answer.IsDone ? DockerQuestions.Read(answer, DockerJson.Default.DockerInfo) : null, versions);
    }

    static Finding OfVersions(DockerAnswer answer)
    {
        var parts = DockerQuestions.Read(answer, DockerJson.Default.DockerVersions);
        if (answer.IsLate)
            return Finding.Silent(
                Engine,
                $"the engine gave no answer within {answer.Error[DockerProcess.Late.Length..]}",
                "if all docker commands hang, the engine or an authorization plugin hangs: docs/troubleshooting.md, "
                    + "\"docker ps and other calls hang\""
            );
        if (!answer.IsDone || parts?.Server is not { } server)
            return Finding.Silent(
                Engine,
                $"docker reaches no engine: {answer.Words}",
                "docker context ls and DOCKER_HOST say which engine is meant"
            );
        if (IsOld(parts.Client))
            return Finding.Problem(
                Engine,
                $"the docker client is too old ({parts.Client?.Version}): 20.10 or later is needed",
                "install a newer docker client"
            );
        return IsOld(server)
            ? Finding.Problem(
                Engine,
                $"Docker Engine is too old ({server.Version}): 20.10 or later is needed",
                "upgrade Docker Engine"
            )
            : Finding.Ok(Engine, $"Docker Engine {server.Version}, client {parts.Client?.Version}");
    }

    /// <summary>Null or unreadable: not known, so not too old.</summary>
    static bool IsOld(DockerPart? part) => Releases.Read(part?.Version) is { } version && version < Oldest;

    /// <summary>Whether images can give containers a GPU that no call asks for.</summary>
    /// <param name="requiresQuota">Whether the policy requires quotas; null: not known.</param>
    public Finding OfRuntime(bool? requiresQuota) =>
        Info?.DefaultRuntime switch
        {
            null or "" => Finding.Unknown(DefaultRuntime, "docker info does not say the default runtime"),
            var name when !name.Contains("nvidia", StringComparison.OrdinalIgnoreCase) => Finding.Ok(
                DefaultRuntime,
                $"the default runtime is {name}"
            ),
            var name when requiresQuota != true => Finding.Ok(
                DefaultRuntime,
                $"the default runtime is {name}, and the policy requires no quota"
            ),
            var name => Finding.Problem(
                DefaultRuntime,
                $"the policy requires quotas, and the default runtime is {name}: RUN of the classic builder gets GPUs "
                    + "without a quota where the image asks for them",
                "remove \"default-runtime\" from /etc/docker/daemon.json and reload it: --gpus and --runtime=nvidia "
                    + "work without it"
            ),
        };
}
