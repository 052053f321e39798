// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>The portable part of a container's configuration, image and body merged.</summary>
sealed record ContainerConfig
{
    /// <summary>As the create call named it: a name, with or without a tag or digest, or an ID.</summary>
    public string Image
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary><c>--user</c> or the image's: a name or number, and after a colon the group. Empty: root.</summary>
    public string User
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>Those that the plugin reads; the others, of which an image can bring any number, are not
    /// kept.</summary>
    [JsonConverter(typeof(OwnLabels))]
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary><c>NAME=value</c>; those that the plugin reads.</summary>
    public IReadOnlyList<string>? Env { get; init; }

    /// <summary>Drops the environment variables that the plugin does not read.</summary>
    internal ContainerConfig WithOwnEnvironment() => Env is null ? this : this with { Env = OwnEnvironment.Of(Env) };
}
