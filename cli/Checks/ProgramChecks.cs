// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Status;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Whether this program fits the plugin, and whether another program is called in its place.</summary>
sealed class ProgramChecks(Installation installation)
{
    const string Name = "runai-docker";
    const string Versions = "versions";
    const string Programs = "programs";

    /// <summary>A docker that is this program would call itself for ever; null: it is not.</summary>
    /// <param name="docker">What is run as docker.</param>
    public Finding? FindLoop(string docker) =>
        installation.Find(docker) is { } path && installation.IsSelf(path)
            ? Finding.Silent(
                Programs,
                $"{path} is this program, not docker, and hides docker",
                $"remove {path}, or set RUNAI_DOCKER to the path of docker"
            )
            : null;

    /// <summary>Compares versions, and looks for other programs of this name.</summary>
    public IEnumerable<Finding> Find(DockerInfo? info, StatusReport? status)
    {
        if (status is not null)
            yield return OfVersions(status);
        yield return OfPath() ?? OfCliPlugin(info) ?? Finding.Ok(Programs, "no other runai-docker hides this one");
    }

    static Finding OfVersions(StatusReport status)
    {
        var (own, plugin) = (Releases.Read(ProgramVersion.Text), Releases.Read(status.Plugin));
        var all = $"runai-docker {ProgramVersion.Text}, plugin {status.Plugin ?? "-"}, shim {status.Shim ?? "-"}";
        if (plugin is null)
            return Finding.Unknown(Versions, $"the plugin does not say its version: {all}");
        if (own == plugin)
            return Finding.Ok(Versions, all);
        return Finding.Problem(
            Versions,
            $"runai-docker and the plugin are of different releases: {all}",
            own < plugin
                ? $"install the runai-docker of release {plugin}: make install"
                : $"upgrade the plugin to release {own}: docs/operate.md, Upgrade"
        );
    }

    Finding? OfPath() =>
        installation.Program is { } self && installation.Find(Name) is { } first && !installation.IsSelf(first)
            ? Hidden($"{Name} on your PATH is {first}, which hides {self}", first)
            : null;

    Finding? OfCliPlugin(DockerInfo? info)
    {
        if (
            installation.Program is not { } self
            || info?.ClientInfo?.Plugins?.FirstOrDefault(plugin => plugin.Name == "runai")
                is not { Path: { } path } ours
        )
            return null;
        if (!installation.IsSelf(path))
            return Hidden($"docker runai is {path}, which is not the same program as {self}", path);
        return ours.ShadowedPaths?.FirstOrDefault(other => !installation.IsSelf(other)) is { } hidden
            ? Hidden($"docker runai is {path}, which hides {hidden}", hidden)
            : null;
    }

    static Finding Hidden(string message, string path) =>
        Finding.Problem(Programs, message, $"remove {path}, or install the same release to both: cli/get.sh --help");
}
