// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Words;
using Runai.GpuMemory.CliTests;
using Runai.GpuMemory.CliTests.Exporter;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>The wrapper beside docker's own parser. TlsTests and ClientTests have more of it.</summary>
[TestFixture(Engines.Newest)]
sealed partial class WrapperTests(string version) : EngineFixture(version)
{
    const int Lines = 24;

    string[] Environment => [$"DOCKER_HOST=unix://{Engine.Socket}", $"RUNAI_DOCKER={Engine.Cli}"];

    static Output Run(string[] environment, string program, params IEnumerable<byte[]> words)
    {
        byte[][] all = [.. environment.Select(Word.Of), Word.Of(program), .. words];
        var output = new DockerProcess("env"u8.ToArray()).Capture(all);
        return new(output.Code, output.Out.Text(), output.Error.Text());
    }

    /// <summary>Lines whose words were chosen, so that those for docker need no reading. docker reads them.</summary>
    [Test]
    public void A_container_is_created_as_docker_reads_the_words()
    {
        var seed = Random.Shared.Next(1_000_000);
        for (var n = 0; n < Lines; n++)
        {
            var line = LineGenerator.Make(seed + n, isValid: true);
            var ours = Created(Run(Environment, Repository.Wrapper, line.Words), out var quota);
            var dockers = Created(Run(Environment, Engine.Cli, line.Expected), out _);
            Assert.That(ours, Is.EqualTo(dockers), $"seed {seed + n}: {line}");
            Assert.That(quota, Is.EqualTo(line.Quota), $"seed {seed + n}: {line}");
        }
    }

    /// <summary>What the engine has of it, without what differs between any two containers: IDs, and the order in
    /// which docker sends variables.</summary>
    string Created(Output output, out string? quota)
    {
        var id = output.Ok();
        var container = JsonNode.Parse(Engine.Raw("GET", $"/containers/{id}/json").Body)!;
        Engine.Raw("DELETE", $"/containers/{id}");
        var config = container["Config"]!;
        quota = (string?)config["Labels"]?["gpu-memory"];
        var variables = config["Env"]?.AsArray().Select(variable => (string?)variable) ?? [];
        config["Env"] = string.Join('\n', variables.Order());
        return $"{config}\n{container["HostConfig"]}".Replace(id[..12], "ID", StringComparison.Ordinal);
    }

    [Test]
    public void The_status_of_the_plugin_is_read_through_docker()
    {
        var globals = GlobalOptions.Read(["-H"u8.ToArray(), Word.Of($"unix://{Engine.Socket}")]);
        var channel = new QuestionChannel(new(Word.Of(Engine.Cli), globals));
        var status = channel.ReadStatus("runai-status");
        Assert.That(status.GetProperty("Version").GetInt32(), Is.EqualTo(1));
        Assert.That(
            () => channel.ReadStatus("runai-nothing"),
            Throws.Exception.With.Message.StartsWith("docker volume inspect runai-nothing failed: is the plugin")
        );
    }

    [Test]
    public void Ps_and_gpus_agree_with_the_status()
    {
        Engine.InstallCliPlugin("docker-runai", Repository.Wrapper);
        string[] quota = ["--network", "none", "--gpus", "1", "-v", "runai:/runai", "--label"];
        Engine.Docker(["create", "--name", "old", .. quota, "gpu-memory=3g", Image, "true"]).Ok();
        string[] hold = [Image, "gpu-alloc", "--hold", "600", "1000m"];
        Engine.Docker(["run", "-d", "--name", "web", .. quota, "gpu-memory=0.5", .. hold]).Ok();
        JsonNode Status() => JsonNode.Parse(Engine.Docker("volume", "inspect", "runai-status").Ok())![0]!["Status"]!;
        Eventually(
            () =>
                Status()["Containers"] is JsonArray { Count: 1 } rows
                && (long?)rows[0]!["Gpus"]![0]!["UsedBytes"] > 1e9,
            "it holds"
        );
        JsonNode Row(string command) => JsonNode.Parse(Engine.Docker("runai", command, "--format", "json").Ok())!;

        var (row, status) = (Row("ps"), Status());
        var (web, gpu) = (status["Containers"]![0]!, status["Containers"]![0]!["Gpus"]![0]!);
        Assert.That((string?)row["ID"], Is.EqualTo(((string?)web["Id"])?[..12]));
        foreach (var key in (string[])["Name", "Quota", "State"])
            Assert.That((string?)row[key], Is.EqualTo((string?)web[key]));
        foreach (var key in (string[])["UsedBytes", "LimitBytes", "Refused"])
            Assert.That($"{row[key]}", Is.EqualTo($"{gpu[key]}"));
        Assert.That($"{row["GPU"]} {row["UUID"]}", Is.EqualTo($"{gpu["Index"]} {gpu["Uuid"]}"));
        var sums = Row("gpus");
        foreach (var key in (string[])["TotalBytes", "PromisedBytes", "UsedBytes", "FreeToPromiseBytes", "State"])
            Assert.That($"{sums[key]}", Is.EqualTo($"{status["Gpus"]![0]![key]}"), key);

        Assert.That(
            Engine.Docker("runai", "ps", "-a").Ok(),
            Does.Match(@"\n\w{12}   old +- +- +3g +- / - .* created$")
        );
        byte[][] dockers = [.. ((string[])["ps", "-a", "--format", "{{.ID}} {{.Names}} {{.Command}}"]).Select(Word.Of)];
        Assert.That(
            Run(Environment, Repository.Wrapper, dockers).All,
            Is.EqualTo(Run(Environment, Engine.Cli, dockers).All)
        );
    }

    static string Scrape(string address)
    {
        using var client = new HttpClient();
        return client.GetStringAsync(new Uri(address)).GetAwaiter().GetResult();
    }

    [Test]
    public void Metrics_agree_with_ps_gpus_and_the_status()
    {
        Engine.InstallCliPlugin("docker-runai", Repository.Wrapper);
        string[] quota = ["--network", "none", "--gpus", "1", "-v", "runai:/runai", "--label", "gpu-memory=2g"];
        string[] script = ["sh", "-c", "gpu-alloc 900m 3g; exec gpu-alloc --hold 600 1000m"];
        Engine.Docker(["run", "-d", "--name", "web", .. quota, Image, .. script]).Ok();
        JsonNode Row(string command) => JsonNode.Parse(Engine.Docker("runai", command, "--format", "json").Ok())!;
        Eventually(
            () => Row("ps") is { } row && (long?)row["UsedBytes"] > 1e9 && $"{row["Refused"]}" == "1",
            "it holds"
        );
        var start = new ProcessStartInfo(Engine.Cli, ["runai", "exporter", "--listen", "127.0.0.1:0"])
        {
            RedirectStandardOutput = true,
        };
        foreach (var (name, value) in Engine.Variables)
            start.Environment[name] = value;
        using var exporter = Process.Start(start)!;
        try
        {
            var address = exporter.StandardOutput.ReadLine()!.Split(' ')[1];
            var metrics = MetricSeries.Of(Scrape(address));
            var (row, sums) = (Row("ps"), Row("gpus"));
            var status = JsonNode.Parse(Engine.Docker("volume", "inspect", "runai-status").Ok())![0]!["Status"]!;
            var ofGpu = $"{{gpu=\"{row["GPU"]}\",uuid=\"{row["UUID"]}\"";
            var ofContainer = $"{ofGpu},container=\"{row["ID"]}\",name=\"{row["Name"]}\",user=\"\"}}";
            Assert.That(metrics["gpu_memory_used_bytes" + ofContainer], Is.EqualTo((double?)row["UsedBytes"]));
            Assert.That(metrics["gpu_memory_quota_bytes" + ofContainer], Is.EqualTo((double?)row["LimitBytes"]));
            Assert.That(
                $"{metrics["gpu_memory_refused_allocations_total" + ofContainer]}",
                Is.EqualTo($"{row["Refused"]}")
            );
            foreach (var what in (string[])["Total", "Promised", "Used"])
                Assert.That(
                    metrics[$"gpu_memory_device_{what.ToLowerInvariant()}_bytes{ofGpu}}}"],
                    Is.EqualTo((double?)sums[what + "Bytes"]).And.EqualTo((double?)status["Gpus"]![0]![what + "Bytes"])
                );
            Assert.That(metrics[$"gpu_memory_plugin_info{{version=\"{status["Plugin"]}\"}}"], Is.EqualTo(1));
            Assert.That(metrics["gpu_memory_enforced"], Is.EqualTo(1));
            var decisions = metrics.Where(one =>
                one.Key.StartsWith("gpu_memory_decisions_total", StringComparison.Ordinal)
            );
            Assert.That(
                decisions.Sum(one => one.Value),
                Is.EqualTo(status["Decisions"]!.AsArray().Sum(one => (long)one!["Count"]!))
            );
            Engine.Docker("rm", "-f", "web").Ok();
            Eventually(() => !Scrape(address).Contains("web", StringComparison.Ordinal), "no series of what ended");
            Engine.AskNobody();
            Eventually(() => MetricSeries.Of(Scrape(address))["gpu_memory_enforced"] == 0, "not enforced");
            Engine.Authorize();
            Eventually(() => MetricSeries.Of(Scrape(address))["gpu_memory_enforced"] == 1, "enforced again");
            Shell.Run("kill", $"{exporter.Id}").Ok();
            Assert.That(exporter.WaitForExit(20_000), "docker ends with its plugin");
            Assert.That(exporter.ExitCode, Is.Zero);
        }
        finally
        {
            exporter.Kill(entireProcessTree: true);
        }
    }

    [Test]
    public void Compose_reads_the_example_of_monitoring()
    {
        var compose = Path.Combine(Repository.Build, "engines", Engine.Version, "docker-compose");
        var file = Path.Combine(Repository.Root, "examples/monitoring/compose.yaml");
        var services = Shell.Run(compose, "-f", file, "config", "--services").Ok().Split('\n');
        Assert.That(services, Is.EquivalentTo(["exporter", "prometheus", "grafana"]));
        foreach (
            var path in Shell.Run(compose, "-f", file, "config").Ok().Split('\n').Where(l => l.Contains(" source: /"))
        )
            if (path.Contains("examples", StringComparison.Ordinal))
                Assert.That(path.Split(": ")[1], Does.Exist);
    }

    /// <summary>The words above the columns are docker's, where docker has such a column.</summary>
    [Test]
    public void Stats_looks_and_ends_as_docker_stats()
    {
        Engine.InstallCliPlugin("docker-runai", Repository.Wrapper);
        string[] Words(params string[] command) =>
            Engine
                .Docker([.. command, "--no-stream"])
                .Ok()
                .Split('\n')[0]
                .Split("   ", StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        Assert.That(
            Words("stats"),
            Is.SupersetOf(Words("runai", "stats").Take(5).Except(["GPU"]).Select(word => word.Replace("GPU ", "")))
        );
        var folder = Directory.CreateTempSubdirectory("gpu-stats-").FullName;
        var plugin = File.CreateSymbolicLink(Path.Combine(folder, "docker-runai"), Repository.Wrapper).FullName;
        Assert.That(Interrupted(plugin), Is.EqualTo(Interrupted(Engine.Cli)));
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>How <c>stats</c> ends on Ctrl-C after its first line: the exit code, and what it says.</summary>
    (int Code, string Error) Interrupted(string program)
    {
        var start = new ProcessStartInfo("env", [.. Environment, program, "stats"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        try
        {
            process.StandardOutput.ReadLineAsync().Wait(TimeSpan.FromSeconds(20));
            Shell.Run("kill", "-INT", $"{process.Id}").Ok();
            var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            Assert.That(Task.WaitAll([output, error], TimeSpan.FromSeconds(20)), $"{program} ends");
            process.WaitForExit();
            return (process.ExitCode, error.Result);
        }
        finally
        {
            process.Kill();
        }
    }

    /// <summary>docker logs in by ssh and speaks with the docker there. The ssh here stays on this machine.</summary>
    [Test]
    public void The_wrapper_asks_by_a_context_with_ssh()
    {
        var folder = Directory.CreateTempSubdirectory("gpu-ssh-").FullName;
        var ssh = Path.Combine(folder, "ssh");
        File.WriteAllText(
            ssh,
            $"""
            #!/bin/sh
            echo "$*" >{folder}/called
            exec env -u DOCKER_CONTEXT -u DOCKER_CONFIG DOCKER_HOST=unix://{Engine.Socket} {Engine.Cli} system dial-stdio

            """
        );
        File.SetUnixFileMode(ssh, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        string[] environment =
        [
            "-u",
            "DOCKER_HOST",
            $"PATH={folder}:/usr/bin:/bin",
            $"DOCKER_CONFIG={folder}",
            $"RUNAI_DOCKER={Engine.Cli}",
        ];
        Shell
            .Run("env", [.. environment, Engine.Cli, "context", "create", "far", "--docker", "host=ssh://me@far"])
            .Ok();
        string[] words = ["--context", "far", "policy", "ask", "run", "--gpus", "1", "--gpu-memory", "0.2", Image];
        var asked = Shell.Run("env", [.. environment, Repository.Wrapper, .. words]);
        Assert.That(asked.Out, Does.StartWith("would be allowed\n"), asked.All);
        Assert.That(File.ReadAllText(Path.Combine(folder, "called")), Does.Contain("-l me").And.Contain("far"));
        Directory.Delete(folder, recursive: true);
    }

    [Test]
    public void Help_and_completion_are_dockers_with_ours_added()
    {
        var help = Run(Environment, Repository.Wrapper, "run"u8.ToArray(), "--help"u8.ToArray()).Ok();
        Assert.That(
            help.Split('\n').Where(line => !line.Contains("--gpu-memory", StringComparison.Ordinal)),
            Is.EqualTo(Run(Environment, Engine.Cli, "run"u8.ToArray(), "--help"u8.ToArray()).Ok().Split('\n'))
        );
        Assert.That(help, Does.Match("\n      --gpu-memory quota +GPU memory quota, such as 0.5 or 3g\n      --gpus "));
        Engine.InstallCliPlugin("docker-runai", Repository.Wrapper);
        Assert.That(Engine.Docker("runai", "--help").Ok(), Does.Contain("\nGPU Memory Commands:\n  policy "));
        Assert.That(Engine.Docker("help", "runai").Ok(), Does.Contain("\nGPU Memory Commands:\n  policy "));
        Assert.That(
            Engine.Docker("__complete", "runai", "run", "--gp").Ok(),
            Does.Match("^--gpu-memory\tGPU memory quota, .*\n--gpus\t.*\n:4$")
        );
        Assert.That(Engine.Docker("--debug", "runai", "policy", "check").Ok(), Does.StartWith("no policy file"));
    }

    static IEnumerable<string> Clients() => [Engines.Oldest, Engines.Middle, Engines.Newest];

    static string ClientOf(string version) =>
        version == Engines.Oldest ? "/usr/bin/docker" : Path.Combine(Repository.Build, "engines", version, "docker");

    /// <summary>By docker's help: an option without a word for its value takes none.</summary>
    [Test]
    public void Options_without_value_are_those_of_every_docker()
    {
        var options =
            from version in Clients()
            from command in (string[])["run", "create"]
            from Match option in Option().Matches(Shell.Run(ClientOf(version), command, "--help").Ok())
            select option;
        var all = options.ToLookup(option => option.Groups["value"].Success);
        IEnumerable<string> Names(bool takesValue, string group) =>
            all[takesValue].Select(option => option.Groups[group].Value).Where(name => name.Length > 0).Distinct();
        Assert.That(Names(false, "name"), Is.EquivalentTo(RunOptions.Switches));
        Assert.That(Names(false, "letter"), Is.EquivalentTo(RunOptions.ShortSwitches.Select(letter => $"{letter}")));
        Assert.That(Names(true, "name").Intersect(RunOptions.Switches), Is.Empty);
        Assert.That(Names(true, "name"), Has.Exactly(1).EqualTo("--env"));
    }

    [GeneratedRegex(@"^ +(-(?<letter>\w), )?(?<name>--[a-z0-9-]+)( (?<value>[\w-]+))?(  |$)", RegexOptions.Multiline)]
    private static partial Regex Option();
}
