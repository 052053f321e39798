// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using System.Text.Json;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Help;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>version</c>: of this program, of the plugin, and the shim that new containers get. As <c>docker
/// version</c> does, it prints what it knows of itself also where nothing answers.</summary>
sealed class VersionCommand : PluginCommand
{
    /// <summary>Its summary is for everybody to read, whatever the policy says.</summary>
    const string Volume = "runai";

    readonly Option<string> _format = Formats.Option();

    public VersionCommand(OwnLine line)
        : base("version", "Show the versions of this program, of the plugin and of its shim")
    {
        Options.Add(_format);
        SetAction(parse => Run(line, parse));
    }

    int Run(OwnLine line, ParseResult parse)
    {
        UserException? problem = null;
        JsonElement? status = null;
        try
        {
            status = line.Channel.ReadStatus(Volume);
        }
        catch (UserException e)
        {
            problem = e;
        }

        var versions = new Versions(
            new(ProgramVersion.Text, "linux", ProgramVersion.Processor),
            status is { } plugin ? new(Member(plugin, "Plugin")) : null,
            status is { } shim ? new(Member(shim, "Shim")) : null
        );
        parse.InvocationConfiguration.Output.Write(
            parse.GetValue(_format) == Formats.Json ? Formats.Line(versions) + "\n" : Text(versions)
        );
        return problem is null ? 0 : throw problem;
    }

    /// <summary>Of any version of the status: a reader of another one gets that of the plugin.</summary>
    static string? Member(JsonElement status, string key) =>
        status.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    static string Text(Versions versions)
    {
        var (client, plugin, shim) = versions;
        var text = $"Client:\n Version:  {client.Version}\n OS/Arch:  {client.Os}/{client.Arch}\n";
        if (plugin is not null)
            text += $"\nPlugin:\n Version:  {Printable.Text(plugin.Version)}\n";
        if (shim is not null)
            text += $"\nShim:\n Build:    {Printable.Text(shim.Build)}\n";
        return text;
    }
}

/// <summary>What <c>version --format json</c> prints. Plugin and shim are null where no plugin answers.</summary>
sealed record Versions(ClientVersion Client, PluginVersion? Plugin, ShimVersion? Shim);

/// <summary>Of this program.</summary>
/// <param name="Version">Three numbers.</param>
/// <param name="Os">linux.</param>
/// <param name="Arch">As Docker names it: amd64.</param>
sealed record ClientVersion(string Version, string Os, string Arch);

/// <summary>Of the plugin that the engine has.</summary>
/// <param name="Version">Three numbers; null: it does not say.</param>
sealed record PluginVersion(string? Version);

/// <summary>Of the shim that new containers get.</summary>
/// <param name="Build">Its length and a hash; null until the first container since the plugin's start.</param>
sealed record ShimVersion(string? Build);
