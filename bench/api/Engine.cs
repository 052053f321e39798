// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Text;
using System.Text.Json;

namespace Runai.GpuMemory.ApiBench;

/// <summary>Who the engine asks about its API calls.</summary>
enum Asked
{
    Nobody,
    AllowAll,
    Ours,
}

/// <summary>A private engine that is up (run.sh), seen by its folder.</summary>
sealed class Engine(string folder)
{
    public const string Plugin = "runai/gpu-memory";
    public const string Image = "api-bench";

    public string Socket => Path.Combine(folder, "run/docker.sock");

    public HttpConnection Connect() => new(Socket);

    /// <summary>Names that plugin, and no other, in daemon.json and lets the engine read it.</summary>
    public void Ask(Asked asked)
    {
        var plugins = asked switch
        {
            Asked.AllowAll => """["allow-all"]""",
            Asked.Ours => $"[\"{Plugin}\"]",
            _ => "[]",
        };
        File.WriteAllText(Path.Combine(folder, "daemon.json"), $$"""{"authorization-plugins": {{plugins}}}""");
        var before = Reloads();
        Run("kill", "-HUP", File.ReadAllText(Path.Combine(folder, "pid")).Trim());
        Eventually(() => Reloads() > before, "the engine reads daemon.json");
        if (IsOursAsked() != (asked == Asked.Ours))
            throw new InvalidOperationException($"the engine does not ask as daemon.json says: {plugins}");
    }

    int Reloads() =>
        File.ReadLines(Path.Combine(folder, "log"))
            .Count(line => line.Contains("Reloaded configuration", StringComparison.Ordinal));

    /// <summary>Our plugin refuses this create; an engine that does not ask it says that there is no such
    /// image.</summary>
    bool IsOursAsked()
    {
        using var connection = Connect();
        var body = """{"Image":"no-such-image","Labels":{"gpu-memory":"0"}}"""u8.ToArray();
        var (status, answer) = connection.Call(HttpConnection.Request("POST", "/containers/create", body));
        return status == 403 && Encoding.UTF8.GetString(answer.Span).Contains(Plugin, StringComparison.Ordinal);
    }

    public string Docker(params IEnumerable<string> arguments) => Run("docker", arguments);

    /// <summary>The process of the managed plugin.</summary>
    public int PluginProcess()
    {
        var id = Docker("plugin", "inspect", Plugin, "--format", "{{.Id}}");
        foreach (var process in Process.GetProcessesByName("runai-gpu-memory"))
            using (process)
                if (File.ReadAllText($"/proc/{process.Id}/cgroup").Contains(id, StringComparison.Ordinal))
                    return process.Id;
        throw new InvalidOperationException("the plugin does not run");
    }

    /// <summary>The managed plugin's socket, by a link: its real path is longer than a socket's may be.</summary>
    public string PluginSocket()
    {
        var link = Path.Combine(folder, "plugin");
        // The engine's /run/docker is in a mount namespace of its own.
        var plugins = $"/proc/{File.ReadAllText(Path.Combine(folder, "keeper")).Trim()}/root/run/docker/plugins";
        File.Delete(link);
        File.CreateSymbolicLink(
            link,
            Path.Combine(plugins, Docker("plugin", "inspect", Plugin, "--format", "{{.Id}}"))
        );
        return Path.Combine(link, "gpu.sock");
    }

    public static string Id(ReadOnlyMemory<byte> created)
    {
        using var json = JsonDocument.Parse(created);
        return json.RootElement.GetProperty("Id").GetString()!;
    }

    static void Eventually(Func<bool> condition, string what)
    {
        for (var clock = Stopwatch.StartNew(); !condition(); Thread.Sleep(50))
            if (clock.Elapsed.TotalSeconds > 20)
                throw new TimeoutException($"not within 20 s: {what}");
    }

    string Run(string command, params IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(command, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["DOCKER_HOST"] = $"unix://{Socket}";
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? output.Trim()
            : throw new InvalidOperationException($"{command} {string.Join(' ', arguments)}: {error.Result}");
    }
}
