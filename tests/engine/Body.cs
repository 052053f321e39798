// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.EngineTests;

/// <summary>The body of a call that creates a container. It sleeps, and has no network unless one is given. Members and
/// values are JSON text as it is, in their order, also twice: tests send what no client writes.</summary>
sealed record Body
{
    public static Body Plain { get; } = new();

    /// <summary>Asks for one GPU.</summary>
    public static Body Gpu { get; } = Plain.Requests("""{"Count":1,"Capabilities":[["gpu"]]}""");

    string ImageName { get; init; } = TestEngine.Image;

    /// <summary>Of HostConfig, each behind a comma.</summary>
    string HostMembers { get; init; } = "";

    /// <summary>Beside HostConfig.</summary>
    string Members { get; init; } = "";

    public Body Image(string name) => this with { ImageName = name };

    /// <param name="members">Of the top level, e.g. <c>"OpenStdin":true</c>.</param>
    public Body With(string members) => this with { Members = $"{Members},{members}" };

    /// <param name="members">Of HostConfig, e.g. <c>"ReadonlyRootfs":true</c>.</param>
    public Body Host(string members) => this with { HostMembers = $"{HostMembers},{members}" };

    public Body Host(string key, string text) => Host($"\"{key}\":\"{text}\"");

    public Body HostList(string key, params IEnumerable<string> texts) => Host($"\"{key}\":[{Quoted(texts)}]");

    /// <summary>As <c>--gpus</c>.</summary>
    public Body Requests(string requests) => Host($"\"DeviceRequests\":[{requests}]");

    public Body Device(string node, string inside = "/dev/x") =>
        Host($$""" "Devices":[{"PathOnHost":"{{node}}","PathInContainer":"{{inside}}","CgroupPermissions":"rwm"}] """);

    public Body Privileged() => Host("\"Privileged\":true");

    public Body Runtime(string name) => Host("Runtime", name);

    public Body Binds(params IEnumerable<string> binds) => HostList("Binds", binds);

    /// <summary>The plugin's.</summary>
    public Body Volume() => Binds("runai:/runai");

    public Body Tmpfs(string target) => Host($$""" "Tmpfs":{"{{target}}":""} """);

    /// <param name="mount">Its members.</param>
    public Body Mount(string mount) => Host($$""" "Mounts":[{ {{mount}} }] """);

    /// <summary>A mount at <c>/x</c> that makes a volume of the driver <c>local</c>.</summary>
    public Body LocalVolume(string options, string source = "") =>
        Mount(
            $$$"""
            "Type":"volume","Source":"{{{source}}}","Target":"/x",
            "VolumeOptions":{"DriverConfig":{"Name":"local","Options":{ {{{options}}} } } }
            """
        );

    public Body Env(params IEnumerable<string> variables) => With($"\"Env\":[{Quoted(variables)}]");

    public Body Quota(string value) => With($$""" "Labels":{"gpu-memory":"{{value}}"} """);

    public byte[] Bytes => Encoding.UTF8.GetBytes(ToString());

    public static implicit operator string(Body body) => body.ToString();

    public override string ToString()
    {
        var network = HostMembers.Contains("NetworkMode", StringComparison.Ordinal) ? "" : ",\"NetworkMode\":\"none\"";
        var host = (network + HostMembers)[1..];
        return $$$"""{"Image":"{{{ImageName}}}","Cmd":["sleep","300"],"HostConfig":{ {{{host}}} }{{{Members}}}}""";
    }

    static string Quoted(IEnumerable<string> texts) => string.Join(',', texts.Select(text => $"\"{text}\""));
}
