// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Status;

/// <summary>Containers with a quota that do not run, as docker lists them: the plugin measures those that do.</summary>
static class StoppedContainers
{
    static readonly string[] Line =
    [
        "ps",
        "--all",
        "--no-trunc",
        "--filter",
        "label=gpu-memory",
        "--filter",
        "status=created",
        "--filter",
        "status=exited",
        "--filter",
        "status=dead",
        "--format",
        """[{{json .ID}},{{json .Names}},{{json (.Label "gpu-memory")}},{{json .State}}]""",
    ];

    /// <summary>Asks docker for them; by name.</summary>
    /// <exception cref="UserException">docker does not list them.</exception>
    public static IReadOnlyList<ContainerStatus> Read(DockerProcess docker)
    {
        var output = docker.Capture([.. Line.Select(Word.Of)], docker.Globals.Config);
        if (output.Code != 0)
            throw new UserException($"docker ps failed: {output.Error.Text().TrimEnd('\n')}");
        return
        [
            .. output
                .Out.Text()
                .Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(Parse)
                .OrderBy(container => container.Name, StringComparer.Ordinal),
        ];
    }

    static ContainerStatus Parse(string line)
    {
        try
        {
            if (
                JsonSerializer.Deserialize(line, StatusJson.Default.StringArray)
                is [var id, var name, var quota, var state]
            )
                return new(id, name, User: null, quota, state, Gpus: []);
        }
        catch (JsonException) { }

        throw new UserException("docker ps printed a line that is not a container");
    }
}
