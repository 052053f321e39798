// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.RegularExpressions;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Questions;

namespace Runai.GpuMemory.Cli.Status;

/// <summary>Reads the plugin's status: all of it, or what the policy lets this caller read.</summary>
sealed partial class StatusReader(IStatusChannel channel)
{
    const string All = "runai-status";
    string _volume = All;

    /// <summary>Whether what was read last is less than all: the policy has <c>"status": "own"</c>.</summary>
    public bool IsOwn => _volume != All;

    /// <summary>The volume that a refusal named is read from then on: each refusal is a line in the engine's
    /// log.</summary>
    /// <exception cref="UserException">The engine has no plugin, or none that this program can read.</exception>
    public StatusReport Read()
    {
        try
        {
            return Parse(channel.ReadStatus(_volume));
        }
        catch (UserException e) when (NamedBy(e.Message) is { } named && named != _volume)
        {
            _volume = named;
            return Parse(channel.ReadStatus(_volume));
        }
    }

    /// <summary>The volume that the plugin's refusal says to read instead; null: it is no such refusal.</summary>
    public static string? NamedBy(string refusal) =>
        Remedy().Match(refusal) is { Success: true } remedy ? remedy.Groups[1].Value : null;

    StatusReport Parse(JsonElement status)
    {
        try
        {
            var report = status.Deserialize(StatusJson.Default.StatusReport)!;
            return report.Version == StatusReport.KnownVersion
                ? report
                : throw new UserException(
                    $"the status of the plugin has version {report.Version}, and this program reads version "
                        + $"{StatusReport.KnownVersion}: install the runai-docker of the plugin's release"
                );
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new UserException($"docker volume inspect {_volume} printed no status that can be read: {e.Message}");
        }
    }

    [GeneratedRegex(@"denied by plugin [^ ]*: .*: docker volume inspect (runai(?:-status\.[A-Za-z0-9_.-]+)?)\s*$")]
    private static partial Regex Remedy();
}
