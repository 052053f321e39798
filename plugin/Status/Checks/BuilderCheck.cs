// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;
using System.Text.Json;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>BuildKit gives <c>RUN --device</c> CDI devices, about which the engine asks no plugin, unless daemon.json
/// takes that from it. The file's place is on dockerd's command line, and dockerd in its PID file: where either is
/// elsewhere, nothing is known.</summary>
sealed class BuilderCheck(PolicySource policy, PluginSettings settings) : ICheck
{
    /// <summary>The first engine whose BuildKit has the entitlement. 28.5.2 refuses it, whatever daemon.json
    /// says.</summary>
    const int FirstMajor = 29;
    const int MaxFile = 1 << 20,
        MaxCommandLine = 64 << 10,
        MaxNumber = 32;
    const string Etc = "/etc/",
        Default = "/etc/docker/daemon.json",
        Flag = "--config-file";

    public IEnumerable<Problem> Find(EngineInfo? engine)
    {
        if (
            engine is null
            || policy.Current.Limits.RequireQuota != true
            || MajorOf(engine.Version) < FirstMajor
            || !HasSpecifications()
            || ConfigurationOfEngine() is not { } path
            || IsClosed(ServedFile.TryReadUntrusted(Here(path), MaxFile))
        )
            yield break;
        yield return new(
            "buildkit",
            null,
            "the policy requires quotas, and docker build gives RUN --device whole GPUs",
            "put \"builder\": {\"Entitlements\": {\"device\": false}} into "
                + $"{Quoted.Text(path)}, and restart the engine"
        );
    }

    static int MajorOf(string version) =>
        int.TryParse(version.Split('.')[0], NumberStyles.None, CultureInfo.InvariantCulture, out var major) ? major : 0;

    /// <summary>Without one there is no device to give.</summary>
    bool HasSpecifications() =>
        new[] { Path.Combine(settings.Etc, "cdi"), Path.Combine(settings.Run, "cdi") }.Any(folder =>
            Directory.Exists(folder) && Directory.EnumerateFiles(folder).Any()
        );

    string Here(string hostPath) => Path.Combine(settings.Etc, hostPath[Etc.Length..]);

    /// <summary>A path of the host below /etc; null where it is not known.</summary>
    string? ConfigurationOfEngine()
    {
        if (
            ServedFile.TryReadUntrusted(Path.Combine(settings.Run, "docker.pid"), MaxNumber) is not { } text
            || !int.TryParse(
                Encoding.ASCII.GetString(text).Trim(),
                NumberStyles.None,
                CultureInfo.InvariantCulture,
                out var pid
            )
            || ServedFile.TryReadUntrusted(
                string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/cmdline"),
                MaxCommandLine
            )
                is not { Length: > 0 } line
        )
            return null;
        var arguments = Encoding.UTF8.GetString(line).Split('\0');
        if (Path.GetFileName(arguments[0]) != "dockerd")
            return null;
        var path = Default;
        for (var at = 1; at < arguments.Length; at++)
            if (arguments[at] == Flag && at + 1 < arguments.Length)
                path = arguments[at + 1];
            else if (arguments[at].StartsWith(Flag + "=", StringComparison.Ordinal))
                path = arguments[at][(Flag.Length + 1)..];
        return UnixPath.Clean(path) is var clean && clean.StartsWith(Etc, StringComparison.Ordinal) ? clean : null;
    }

    /// <param name="content">daemon.json, which need not exist.</param>
    static bool IsClosed(byte[]? content)
    {
        if (content is null)
            return false;
        try
        {
            using var file = JsonDocument.Parse(content);
            return Member(Member(Member(file.RootElement, "builder"), "Entitlements"), "device")
                is { ValueKind: JsonValueKind.False };
        }
        catch (JsonException)
        {
            return true; // dockerd has read something else
        }
    }

    /// <summary>As the engine reads it: in any case.</summary>
    static JsonElement? Member(JsonElement? parent, string name) =>
        parent is { ValueKind: JsonValueKind.Object } o
            ? o.EnumerateObject()
                .Where(one => one.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
                .Select(one => (JsonElement?)one.Value)
                .LastOrDefault()
            : null;
}
