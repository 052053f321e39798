// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Cli.Checks;

/// <summary>Of <c>docker version</c>. Server is null where there is no engine.</summary>
sealed record DockerVersions(DockerPart? Client, DockerPart? Server);

/// <summary>Client or engine, with a version such as <c>20.10.24+dfsg1</c>.</summary>
sealed record DockerPart(string? Version);

/// <summary>Of <c>docker info</c>.</summary>
/// <param name="Plugins">The engine's, as it read its configuration at its start.</param>
/// <param name="DefaultRuntime">What runs containers that name none.</param>
/// <param name="ClientInfo">The client's own part.</param>
sealed record DockerInfo(EnginePlugins? Plugins, string? DefaultRuntime, DockerClientInfo? ClientInfo);

/// <summary>Names of the engine's plugins. Authorization: those that it asks, in their order.</summary>
sealed record EnginePlugins(IReadOnlyList<string>? Authorization);

/// <summary>What the client says of itself.</summary>
sealed record DockerClientInfo(IReadOnlyList<CliPlugin>? Plugins);

/// <summary>A plugin of the docker CLI. ShadowedPaths: others of its name, which docker does not use.</summary>
sealed record CliPlugin(string? Name, string? Path, IReadOnlyList<string>? ShadowedPaths);

/// <summary>A line of <c>docker plugin ls</c>: a plugin that is installed in the engine.</summary>
sealed record InstalledPlugin(string? Name, bool Enabled, string? Description)
{
    const string OurName = "runai/gpu-memory";
    const string OurDescription = "GPU memory as a Docker resource";

    /// <summary>Whether it is this project's, under whatever name.</summary>
    public bool IsOurs => NamesUs(Name) || Description?.StartsWith(OurDescription, StringComparison.Ordinal) == true;

    /// <summary>Whether a name, with or without a tag, means this plugin.</summary>
    public bool IsNamed(string name) => Name is not null && WithoutTag(name) == WithoutTag(Name);

    /// <summary>Whether a name is the one that the plugin has by default.</summary>
    public static bool NamesUs(string? name) => name is not null && WithoutTag(name) == OurName;

    static string WithoutTag(string name) =>
        name.LastIndexOf(':') is var colon && colon > name.LastIndexOf('/') ? name[..colon] : name;
}

/// <summary>What docker prints in JSON.</summary>
[JsonSerializable(typeof(DockerVersions))]
[JsonSerializable(typeof(DockerInfo))]
[JsonSerializable(typeof(InstalledPlugin))]
sealed partial class DockerJson : JsonSerializerContext;
