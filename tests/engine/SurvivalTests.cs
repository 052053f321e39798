// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>Whatever happens to the engine and to the plugin, each container keeps its own quota.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class SurvivalTests(string version) : EngineFixture(version)
{
    protected override TestEngine Create(string version) => new(version, flags: "--live-restore");

    string Started(string quota, params string[] flags) =>
        Engine.Start([.. flags, "-v", "runai:/runai", "--label", $"gpu-memory={quota}", Image, "sleep", "600"]);

    void Keeps(string container, int mebibytes)
    {
        Eventually(
            () =>
                Engine
                    .Docker("inspect", "-f", "{{.State.Running}}", container)
                    .Out.StartsWith("true", StringComparison.Ordinal),
            "the container runs"
        );
        Assert.That(Engine.Smi(container).Total, Is.EqualTo(mebibytes));
        var more = Engine.Docker("exec", container, "gpu-alloc", $"{mebibytes + 64}m");
        Assert.That(more.All, Does.Contain("CUDA_ERROR_OUT_OF_MEMORY"));
    }

    [Test]
    public void A_restart_by_policy()
    {
        var container = Engine.Start(
            "--restart",
            "always",
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            Image,
            "sh",
            "-c",
            "sleep 2; exit 1"
        );
        Eventually(
            () => Engine.Docker("inspect", "-f", "{{.RestartCount}}", container).Ok() != "0",
            "the container was restarted"
        );
        Eventually(
            () => Engine.Docker(["exec", container, .. SmiQuery]).Out.StartsWith("3296,", StringComparison.Ordinal),
            "the restarted container sees its quota"
        );
    }

    [Test]
    public void Kill_9_of_the_plugin()
    {
        var before = Started("0.3");
        Keeps(before, 3296);
        Engine.KillPlugin();
        var after = Started("0.5");
        Keeps(before, 3296);
        Keeps(after, 5494);
    }

    /// <summary>The engine asks again about a call whose connection broke, and may not say which call that is: the
    /// plugin refuses it then.</summary>
    [Test]
    public void Kill_9_of_the_plugin_while_docker_run_waits()
    {
        var plugin = Engine.PluginProcess();
        var id = Engine.Docker("create", "--rm", "--network", "none", Image, "true").Ok();
        var waits = Task.Run(() => Engine.Raw("POST", $"/containers/{id}/wait?condition=removed"));
        Thread.Sleep(300);
        Shell.Run("kill", "-STOP", $"{plugin}").Ok();
        var starts = Task.Run(() => Engine.Raw("POST", $"/containers/{id}/start"));
        Thread.Sleep(300);
        Shell.Run("kill", "-KILL", $"{plugin}").Ok();
        Assert.That(waits.Wait(TimeSpan.FromSeconds(50)), "the client that waits for the container's end has it");
        Assert.That(
            (starts.Result.Status, waits.Result.Status, Engine.Docker("ps", "-aq").Ok()),
            Is.EqualTo((403, 200, "")).Or.EqualTo((204, 200, ""))
        );
    }

    /// <summary>What the plugin reads, by the path that it reads.</summary>
    string Refused(string container)
    {
        var mine = Engine.PrivateDirectories().Single(directory => QuotaIn(directory).Contains(container));
        return File.ReadAllText(
            $"/proc/{Engine.PluginProcess()}/root/var/lib/runai/mounts/{Path.GetFileName(mine)}/usage/refused"
        );
    }

    static string QuotaIn(string directory) =>
        Path.Combine(directory, "quota") is var path && File.Exists(path) ? File.ReadAllText(path) : "";

    [Test]
    public void Kill_9_of_the_plugin_between_refused_allocations()
    {
        var container = Started("0.3");
        for (var i = 0; i < 3; i++)
            Assert.That(Engine.Docker("exec", container, "gpu-alloc", "4g").Code, Is.EqualTo(2));
        Engine.KillPlugin();
        for (var i = 0; i < 4; i++)
            Assert.That(Engine.Docker("exec", "--user", "1000", container, "gpu-alloc", "5g").Code, Is.EqualTo(2));
        Assert.That(Engine.Docker("exec", container, "gpu-alloc", "1g").Code, Is.Zero);
        Assert.That(Refused(container), Does.Match($@"^GPU-[0-9a-f-]{{36}} 7 {5L << 30} 1\d{{12}} *\n$"));
        const string Counts =
            "{{range .Status.Containers}}{{range .Gpus}}{{json .Refused}} {{json .LastRefusedBytes}}{{end}}{{end}}";
        Eventually(
            () => Engine.Docker("volume", "inspect", "-f", Counts, "runai-status").Out.Trim() == $"7 {5L << 30}",
            "the status has the counts"
        );
    }

    [Test]
    public void Kill_9_of_the_plugin_under_a_running_allocation()
    {
        var container = Engine.Start(
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=4g",
            Image,
            "gpu-alloc",
            "--hold",
            "600",
            "1g"
        );
        Eventually(
            () => Engine.Docker("logs", container).Out.Contains("allocated", StringComparison.Ordinal),
            "the allocation is held"
        );
        Engine.KillPlugin();
        var (total, used) = Engine.Smi(container);
        Assert.That(total, Is.EqualTo(4096));
        Assert.That(used, Is.GreaterThanOrEqualTo(1024).And.LessThan(2048));
        Assert.That(Engine.Docker("exec", container, "gpu-alloc", "3g").Code, Is.EqualTo(2));
    }

    [Test]
    public void A_default_quota_that_changes_during_an_allocation()
    {
        Engine.WritePolicy("""{ "defaultQuota": "0.5" }""");
        var container = "";
        Eventually(
            () =>
                (
                    container = Engine
                        .Run("-d", "-v", "runai:/runai", Image, "gpu-alloc", "--hold", "600", "2g")
                        .Out.Trim()
                ).Length > 0,
            "a container that asks for nothing may start"
        );
        Eventually(
            () => Engine.Docker("logs", container).Out.Contains("allocated", StringComparison.Ordinal),
            "the allocation is held"
        );
        Assert.That(Engine.Smi(container), Is.EqualTo((5494, 2048 + 64)));
        Engine.WritePolicy("""{ "defaultQuota": "0.1" }""");
        Eventually(
            () => Engine.Docker(["exec", container, .. SmiQuery]).Out == "1098, 1098\n",
            "the new quota is in force",
            seconds: 10
        );
        Assert.That(Engine.Docker("exec", container, "gpu-alloc", "1m").Code, Is.EqualTo(2), "nothing more");
        Assert.That(
            Engine.Docker("exec", container, "cat", "/proc/1/comm").Ok(),
            Is.EqualTo("gpu-alloc"),
            "and nothing is taken away"
        );
        Engine.WritePolicy("""{ "defaultQuota": "0.25" }""");
        Eventually(
            () =>
                Engine
                    .Docker("exec", container, "cat", "/runai/quota")
                    .Out.Contains("\nlimit=0.25\n", StringComparison.Ordinal),
            "the file in the container is another one",
            seconds: 10
        );
        Assert.That(Engine.Docker("exec", container, "gpu-alloc", "512m").Code, Is.Zero, "a larger one gives room");
        Engine.WritePolicy(null);
    }

    [Test]
    public void A_restart_of_the_engine_under_live_restore()
    {
        var left = Started("0.3");
        var right = Started("0.5");
        Engine.Stop();
        Engine.StartAgain();
        Keeps(left, 3296);
        Keeps(right, 5494);
        Keeps(Started("0.1"), 1098);
    }

    [Test]
    public void Kill_9_of_the_engine_under_live_restore()
    {
        var container = Started("0.3");
        Engine.KillEngine();
        Engine.StartAgain();
        Keeps(container, 3296);
        Engine.Docker("restart", "-t", "0", container).Ok();
        Keeps(container, 3296);
    }
}

/// <summary>The same without live-restore: the containers end with the engine and come back by their restart
/// policy.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class EngineRestartTests(string version) : EngineFixture(version)
{
    [Test]
    public void Containers_come_back_with_their_own_quotas()
    {
        string Started(string quota) =>
            Engine.Start(
                "--restart",
                "always",
                "--stop-timeout",
                "1",
                "-v",
                "runai:/runai",
                "--label",
                $"gpu-memory={quota}",
                Image,
                "sleep",
                "600"
            );
        var left = Started("0.3");
        var right = Started("0.5");
        Engine.Stop();
        Engine.StartAgain();
        foreach (var (container, total) in (ReadOnlySpan<(string, int)>)[(left, 3296), (right, 5494)])
        {
            Eventually(
                () =>
                    Engine
                        .Docker("inspect", "-f", "{{.State.Running}}", container)
                        .Out.StartsWith("true", StringComparison.Ordinal),
                "the container runs"
            );
            Assert.That(Engine.Smi(container).Total, Is.EqualTo(total));
        }
    }
}
