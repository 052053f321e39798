// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory;

/// <summary>The plugin's settings, read once from its environment (<c>docker plugin set</c> writes it).</summary>
sealed record PluginSettings
{
    /// <summary>Lines below this level are not written.</summary>
    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    /// <summary>Path of the engine's socket inside the plugin.</summary>
    public string EngineSocket { get; init; } = "/host/run/docker.sock";

    /// <summary>Path of the host's libnvidia-ml.so.1 inside the plugin; null: searched below
    /// <see cref="Driver"/>.</summary>
    public string? NvmlLibrary { get; init; }

    /// <summary>The host's /usr, below which the driver's libraries are.</summary>
    public string Driver { get; init; } = "/host/usr";

    /// <summary>The socket on which the engine calls the plugin.</summary>
    public string Socket { get; init; } = "/run/docker/plugins/gpu.sock";

    /// <summary>The propagated mount: what is mounted below it appears on the host, what is written there outlives an
    /// upgrade.</summary>
    public string State { get; init; } = "/var/lib/runai";

    /// <summary>The shim that comes with this version of the plugin.</summary>
    public string Shim { get; init; } = "/usr/lib/runai/librunai.so";

    /// <summary>A private mount, where nothing propagates: private directories are made read-only here first.</summary>
    public string Stage { get; init; } = "/run/runai-stage";

    /// <summary>The host's device nodes.</summary>
    public string Devices { get; init; } = "/host/dev";

    /// <summary>The host's /run.</summary>
    public string Run { get; init; } = "/host/run";

    /// <summary>The host's /etc.</summary>
    public string Etc { get; init; } = "/host/etc";

    /// <summary>The policy file. It need not exist.</summary>
    public string Policy { get; init; } = "/host/etc/docker/gpu-memory.json";

    /// <summary>How often what containers have of the GPUs is compared with their quotas; zero: never.</summary>
    public TimeSpan WatchUse { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Reads all settings, and reports all problems at once.</summary>
    /// <param name="read">The value of an environment variable; null or empty where it is not set.</param>
    public static (PluginSettings Settings, IReadOnlyList<string> Problems) Read(Func<string, string?> read)
    {
        var problems = new List<string>();
        var defaults = new PluginSettings();
        string ReadPath(string name, string otherwise)
        {
            var value = read(name);
            if (string.IsNullOrEmpty(value))
                return otherwise;
            if (!value.StartsWith('/'))
                problems.Add($"{name}={value} is not an absolute path");
            return value;
        }

        return (
            new PluginSettings
            {
                LogLevel = ReadLevel(read("LOG_LEVEL"), problems),
                EngineSocket = ReadEngine(read("DOCKER_HOST"), defaults.EngineSocket, problems),
                NvmlLibrary = ReadPath("NVML_LIBRARY", "") is { Length: > 0 } library ? library : null,
                Socket = ReadPath("SOCKET", defaults.Socket),
                State = ReadPath("STATE", defaults.State),
                Shim = ReadPath("SHIM", defaults.Shim),
                Stage = ReadPath("STAGE", defaults.Stage),
                Devices = ReadPath("DEVICES", defaults.Devices),
                Driver = ReadPath("DRIVER", defaults.Driver),
                Run = ReadPath("RUN", defaults.Run),
                Etc = ReadPath("ETC", defaults.Etc),
                Policy = ReadPath("POLICY", defaults.Policy),
                WatchUse = ReadSeconds("WATCH_USE", read("WATCH_USE"), defaults.WatchUse, problems),
            },
            problems
        );
    }

    static LogLevel ReadLevel(string? value, List<string> problems)
    {
        switch (value?.ToLowerInvariant())
        {
            case "debug":
                return LogLevel.Debug;
            case null or "" or "info":
                return LogLevel.Information;
            case "warning":
                return LogLevel.Warning;
            case "error":
                return LogLevel.Error;
            default:
                problems.Add($"LOG_LEVEL={value} is none of debug, info, warning, error");
                return LogLevel.Information;
        }
    }

    static TimeSpan ReadSeconds(string name, string? value, TimeSpan otherwise, List<string> problems)
    {
        const int MaxSeconds = 24 * 60 * 60;
        if (string.IsNullOrEmpty(value))
            return otherwise;
        if (
            int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
            && seconds <= MaxSeconds
        )
            return TimeSpan.FromSeconds(seconds);
        problems.Add($"{name}={value} is no number of seconds from 0 to {MaxSeconds}");
        return otherwise;
    }

    static string ReadEngine(string? value, string otherwise, List<string> problems)
    {
        const string Scheme = "unix://";
        if (string.IsNullOrEmpty(value))
            return otherwise;
        if (value.StartsWith(Scheme + "/", StringComparison.Ordinal))
            return value[Scheme.Length..];
        problems.Add($"DOCKER_HOST={value} is not the form unix:///path/of/docker.sock");
        return otherwise;
    }
}
