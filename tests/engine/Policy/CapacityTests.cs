// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>What is promised of a GPU is never more than it has, however containers come, end and come back.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class CapacityTests(string version) : PolicyFixture(version)
{
    protected override string PolicyFile => """{ "requireQuota": true }""";

    protected override int Gpus => 2;

    string Create(string name, string quota, string device = "0", params string[] more) =>
        Engine
            .Docker([
                "create",
                "--name",
                name,
                "--network",
                "none",
                "--gpus",
                $"\"device={device}\"",
                "-v",
                "runai:/runai",
                "--label",
                $"gpu-memory={quota}",
                .. more,
                Image,
                "sleep",
                "300",
            ])
            .Ok();

    Output Start(string name) => Engine.Docker("start", name);

    int Running() => Engine.Docker("ps", "-q").Ok().Split('\n', StringSplitOptions.RemoveEmptyEntries).Length;

    [Test]
    public void Simultaneous_starts_share_the_GPU()
    {
        var names = Enumerable.Range(0, 12).Select(i => $"c{i}").ToArray();
        foreach (var name in names)
            Create(name, "0.3", name is "c10" or "c11" ? "1" : "0");
        var started = names
            .AsParallel()
            .WithDegreeOfParallelism(names.Length)
            .Select(name => (name, Output: Start(name)))
            .ToArray();
        Assert.That(
            started.Count(s => s.Output.Code == 0 && s.name is not ("c10" or "c11")),
            Is.EqualTo(3),
            "0.3 four times is more than GPU 0"
        );
        Assert.That(
            started.Count(s => s.Output.Code == 0 && s.name is "c10" or "c11"),
            Is.EqualTo(2),
            "GPU 1 has room"
        );
        foreach (var (_, refused) in started.Where(s => s.Output.Code != 0))
            Assert.That(refused.Error, Does.Contain("GPU 0").And.Contain("left for gpu-memory=0.3"));
    }

    [Test]
    public void A_refusal_names_the_GPU_and_its_holders()
    {
        Create("first", "0.5");
        Create("second", "2g");
        Create("third", "0.5");
        Start("first").Ok();
        Start("second").Ok();
        var refused = Start("third");
        Assert.That(refused.Code, Is.Not.Zero);
        Assert.That(
            refused.Error,
            Does.Contain("GPU 0")
                .And.Contain("first holds 0.5")
                .And.Contain("second holds 2g")
                .And.Contain("left for gpu-memory=0.5")
        );
        Create("elsewhere", "1", "1");
        Start("elsewhere").Ok();
        Create("both", "0.1", "0,1");
        Assert.That(
            Start("both").Error,
            Does.Contain("GPU 1").And.Contain("elsewhere holds 1"),
            "it needs a place on each"
        );
    }

    /// <summary>The simulated toolkit has swarm-resource = "DOCKER_RESOURCE_GPU": the variable goes before the
    /// request.</summary>
    [Test]
    public void A_swarm_resource_fits_no_full_GPU()
    {
        Create("holder", "0.7");
        Start("holder").Ok();
        Create("other", "0.7", "1", "-e", "DOCKER_RESOURCE_GPU=0");
        Assert.That(Start("other").Error, Does.Contain("holder holds 0.7"));
    }

    /// <summary>Where NVIDIA's runtime is the default, each container with --gpus is of this kind.</summary>
    [Test]
    public void An_image_for_all_GPUs_counts_on_requested_ones()
    {
        Create("holder", "0.7");
        Start("holder").Ok();
        Create("other", "0.7", "1", "--runtime", "nvidia", "-e", "NVIDIA_VISIBLE_DEVICES=all");
        Start("other").Ok();
        Assert.That(Engine.Docker("exec", "other", "nvidia-smi", "-L").Ok().Split('\n'), Has.Length.EqualTo(1));
    }

    [Test]
    public void A_container_that_ends_at_once_frees_its_place()
    {
        for (var i = 0; i < 6; i++)
            Eventually(
                () => Engine.Run("--rm", "-v", "runai:/runai", "--label", "gpu-memory=0.9", Image, "true").Code == 0,
                $"run {i} has its place",
                seconds: 3
            );
        Create("job", "0.9");
        for (var i = 0; i < 3; i++)
        {
            Start("job").Ok();
            Engine.Docker("kill", "job").Ok();
        }
    }

    [Test]
    public void A_container_that_ends_frees_its_place()
    {
        Create("job-a", "0.7");
        Create("job-b", "0.7");
        Start("job-a").Ok();
        Assert.That(Start("job-b").Code, Is.Not.Zero);
        Engine.Docker("rm", "-f", "job-a").Ok();
        Eventually(() => Start("job-b").Code == 0, "the place is free after rm -f");
        Create("job-c", "0.7");
        Engine.Docker("stop", "-t", "0", "job-b").Ok();
        Eventually(() => Start("job-c").Code == 0, "the place is free after stop");
        Engine.Docker("kill", "job-c").Ok();
        Eventually(() => Start("job-b").Code == 0, "the place is free after kill");
        Engine.Docker("restart", "-t", "0", "job-b").Ok();
        Assert.That(Start("job-c").Code, Is.Not.Zero, "a restart keeps its place");
        Engine.Docker("update", "--restart", "always", "job-b").Ok();
        Engine.Docker("stop", "-t", "0", "job-b").Ok();
        Eventually(
            () => Start("job-c").Code == 0,
            "nobody waits for one with a restart policy that was stopped by hand"
        );
    }

    [Test]
    public void A_start_that_fails_holds_nothing()
    {
        Engine
            .Docker(
                "create",
                "--name",
                "broken",
                "--network",
                "none",
                "--gpus",
                "device=0",
                "-v",
                "runai:/runai",
                "--label",
                "gpu-memory=0.7",
                Image,
                "/no/such/program"
            )
            .Ok();
        Assert.That(Start("broken").Code, Is.Not.Zero);
        Create("whole", "0.7");
        Eventually(() => Start("whole").Code == 0, "the place of the failed start is free");
    }

    [Test]
    public void Pausing_and_renaming_keep_the_place()
    {
        Create("job-a", "0.7");
        Create("job-b", "0.7");
        Start("job-a").Ok();
        Engine.Docker("pause", "job-a").Ok();
        Engine.Docker("rename", "job-a", "other").Ok();
        Assert.That(Start("job-b").Code, Is.Not.Zero);
        Engine.Docker("unpause", "other").Ok();
    }

    /// <summary>Root in it has made a folder of the file, and so the restart is refused; it runs on all the
    /// same.</summary>
    [Test]
    public void A_refused_restart_keeps_the_place()
    {
        Engine
            .Docker(
                "run",
                "-d",
                "--name",
                "job-a",
                "--network",
                "none",
                "--gpus",
                "device=0",
                "-v",
                "runai:/runai",
                "--label",
                "gpu-memory=0.7",
                Image,
                "sh",
                "-c",
                "rm /etc/ld.so.preload; mkdir /etc/ld.so.preload; echo ready; exec sleep 300"
            )
            .Ok();
        Eventually(() => Engine.Docker("logs", "job-a").Out.Contains("ready", StringComparison.Ordinal), "it is ready");
        Create("job-b", "0.7");
        foreach (var call in (string[])["restart", "start"])
        {
            Assert.That(
                Engine.Raw("POST", $"/containers/job-a/{call}").Body,
                Does.Contain("/etc/ld.so.preload of the container is no file")
            );
            Assert.That(Start("job-b").Error, Does.Contain("job-a holds 0.7"), call);
        }
    }

    [Test]
    public async Task A_second_start_does_not_outlive_its_container()
    {
        Create("job-a", "0.7");
        Create("job-b", "0.7");
        Start("job-a").Ok();
        Assert.That(await Engine.Api.Containers.StartContainerAsync("job-a"), Is.False, "it runs already");
        Engine.Docker("kill", "job-a").Ok();
        Eventually(() => Start("job-b").Code == 0, "the place is free after kill");
    }

    [Test]
    public void A_restart_policy_set_later_keeps_the_place()
    {
        Create("job-a", "0.7");
        Create("job-b", "0.7");
        Start("job-a").Ok();
        Engine.Docker("update", "--restart", "always", "job-a").Ok();
        for (var n = 0; n < 5; n++)
        {
            // By itself, and not by a call: the engine starts it again, a little later each time.
            Shell.Run("kill", "-9", $"{Engine.StateOf("job-a").Pid}");
            for (
                var again = false;
                !again;
                again =
                        Engine
                            .Docker(
                                "inspect",
                                "-f",
                                "{{.State.Running}} {{.State.Restarting}} {{.RestartCount}}",
                                "job-a"
                            )
                            .Ok() == $"true false {n + 1}"
            )
                Assert.That(Start("job-b").Code, Is.Not.Zero, "it is about to run again");
        }
    }

    [Test]
    public void A_killed_plugin_and_a_restarted_engine_count_right()
    {
        Create("kept", "0.6", "0", "--restart", "always");
        Create("more", "0.6");
        Start("kept").Ok();
        Engine.KillPlugin();
        Eventually(
            () => Start("more").Error.Contains("kept holds 0.6", StringComparison.Ordinal),
            "after kill -9 of the plugin the sum is made from what runs"
        );
        Assert.That(Running(), Is.EqualTo(1));
        Engine.Stop();
        Engine.StartAgain();
        Eventually(() => Running() == 1, "the container is back with the engine");
        Eventually(
            () => Start("more").Error.Contains("kept holds 0.6", StringComparison.Ordinal),
            "after the engine's restart it holds its place"
        );
        Engine.KillEngine();
        Engine.StartAgain();
        Eventually(() => Running() == 1, "the container is back after the engine's crash");
        Eventually(
            () => Start("more").Error.Contains("kept holds 0.6", StringComparison.Ordinal),
            "after the engine's crash it holds its place"
        );
        Engine.Docker("rm", "-f", "kept").Ok();
        Eventually(() => Start("more").Code == 0, "its place is free when it is gone");
    }
}
