// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>What no look at a call or a configuration shows, only the container that runs; and calls that only
/// ask.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class RunningTests(string version) : PolicyFixture(version)
{
    Output Ask(params string[] words) =>
        Engine.Command("env", [$"RUNAI_DOCKER={Engine.Cli}", Repository.Wrapper, "policy", .. words]);

    bool Runs(string id) => Engine.Runs(id);

    string Lines(string id, string what) =>
        string.Join(
            '\n',
            Engine
                .Log.Split('\n')
                .Where(line =>
                    line.Contains($"container={id}", StringComparison.Ordinal)
                    && line.Contains(what, StringComparison.Ordinal)
                )
        );

    void EndsFor(string rule, string id)
    {
        Eventually(() => Lines(id, "running against the rules").Length > 0, "it is found out");
        Assert.That(Lines(id, "running against the rules"), Does.Contain(rule));
        Eventually(() => !Runs(id), "it is stopped, though onBreach is report");
    }

    [TestCase(false)]
    [TestCase(true)]
    public void A_name_that_moves_between_judgement_and_start(bool byPartOfTheId)
    {
        var (good, bad) = (CreateLegal("good"), CreateForbidden("bad"));
        var name = byPartOfTheId ? good[..10] : "good";
        var done = 0;
        using (
            new SecondPlugin(
                Engine.PluginSockets,
                call =>
                {
                    if (
                        !call.EndsWith($"/containers/{name}/start", StringComparison.Ordinal)
                        || Interlocked.Exchange(ref done, 1) != 0
                    )
                        return;
                    if (!byPartOfTheId)
                        Engine.Raw("POST", $"/containers/{good}/rename?name=aside");
                    Engine.Raw("POST", $"/containers/{bad}/rename?name={name}");
                }
            )
        )
        {
            Engine.Authorize(SecondPlugin.Name);
            Assert.That(Engine.Raw("POST", $"/containers/{name}/start").Status, Is.EqualTo(204));
            Engine.Authorize();
        }

        Assert.That(done, Is.EqualTo(1), "the name changed hands meanwhile");
        EndsFor("rules=require-quota,unjudged-start", bad);
        Assert.That(Runs(good), Is.False);
        Engine.Docker("rm", "-f", good, bad).Ok(); // whom a short ID would mean twice
    }

    /// <summary>By somebody on the host, or by docker kill: as soon as the process is there, and while the plugin comes
    /// back.</summary>
    [Test]
    public void A_stopped_first_process_has_the_quota()
    {
        for (var n = 0; n < 3; n++)
        {
            var id = CreateLegal($"still{n}");
            var starts = Task.Run(() => Engine.Raw("POST", $"/containers/{id}/start"));
            var pid = 0L;
            Eventually(() => (pid = Engine.StateOf(id).Pid) != 0, "it has a process");
            Shell.Run("kill", "-STOP", $"{pid}").Ok();
            Assert.That(starts.Result.Status, Is.EqualTo(204));
            Assert.That(Engine.Smi(id).Total, Is.EqualTo(Part(0.5m)), $"at its start {n}");
            if (n == 0)
            {
                Engine.KillPlugin();
                Assert.That(Engine.Smi(id).Total, Is.EqualTo(Part(0.5m)), "with the plugin back");
            }
            Engine.Docker("rm", "-f", id).Ok(); // the GPU has room for two
        }
    }

    [Test]
    public void A_name_without_container_when_it_is_judged()
    {
        var bad = CreateForbidden("bad");
        var done = 0;
        using (
            new SecondPlugin(
                Engine.PluginSockets,
                call =>
                {
                    if (
                        call.EndsWith("/containers/ghost/start", StringComparison.Ordinal)
                        && Interlocked.Exchange(ref done, 1) == 0
                    )
                        Engine.Raw("POST", $"/containers/{bad}/rename?name=ghost");
                }
            )
        )
        {
            Engine.Authorize(SecondPlugin.Name);
            Assert.That(Engine.Raw("POST", "/containers/ghost/start").Status, Is.EqualTo(204));
            Engine.Authorize();
        }

        EndsFor("rules=require-quota,unjudged-start", bad);
    }

    /// <summary>The image has /y/z, a link to /runai, and /y/e, a link to /etc.</summary>
    [TestCase("volume-covered", "-v", "FOLDER:/y/z")]
    [TestCase("volume-covered", "-v", "FOLDER/librunai.so:/y/z/librunai.so")]
    [TestCase("volume-covered", "-v", "stuff:/y/z/usage")]
    [TestCase("volume-covered", "--tmpfs", "/y/z/usage")]
    [TestCase("volume-covered", "--volumes-from", "carrier")]
    [TestCase("preload-covered", "-v", "stuff:/y/e")]
    [TestCase("preload-covered", "--tmpfs", "/y/e")]
    public void An_image_link_that_covers_the_quota(string rule, params string[] mount)
    {
        Engine
            .Docker(
                "run",
                "--name",
                "linked",
                "--network",
                "none",
                Image,
                "sh",
                "-c",
                "mkdir /y; ln -s /runai /y/z; ln -s /etc /y/e"
            )
            .Ok();
        Engine.Docker("commit", "linked", "linked").Ok();
        Engine.Docker("create", "--name", "carrier", "--network", "none", "-v", "stuff:/y/z/usage", Image, "true").Ok();
        var folder = Directory.CreateTempSubdirectory("mine-").FullName;
        File.Copy(Path.Combine(Repository.Build, "shim/librunai.so"), Path.Combine(folder, "librunai.so"));
        var created = Engine
            .Docker([
                "create",
                "--network",
                "none",
                "--gpus",
                "1",
                "-v",
                "runai:/runai",
                "--label",
                "gpu-memory=0.5",
                .. mount.Select(word => word.Replace("FOLDER", folder, StringComparison.Ordinal)),
                "linked",
                "sleep",
                "300",
            ])
            .Ok();
        // A newer engine cannot copy files into a container with such a mount, so that there the preload is missing
        // already.
        if (Engine.Docker("start", created) is { Code: not 0 } refused)
            Assert.That(refused.Error, Does.Contain("/etc/ld.so.preload could not be put into the container"));
        else
            EndsFor($"rules={rule}", created);
        Assert.That(Runs(created), Is.False);
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>As systemctl daemon-reload leaves it, which writes the device rules of its units again.</summary>
    [Test]
    public void A_container_that_lost_its_GPU()
    {
        var id = Engine.Start(
            "--device",
            "/dev/nvidia0",
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            Image,
            "sleep",
            "300"
        );
        string State() =>
            Engine
                .Docker("volume", "inspect", "-f", "{{range .Status.Containers}}{{.State}}{{end}}", "runai-status")
                .Ok();
        Eventually(() => State() == "ok", "it has its GPU");
        File.WriteAllText($"/sys/fs/cgroup/devices/docker/{id}/devices.deny", "c 195:0 rwm");
        Eventually(() => State() == "no-gpu", "it has lost it");
        Assert.That(Lines(id, "has lost its GPU").Split('\n'), Has.Length.EqualTo(1));
        Assert.That(
            Engine
                .Docker(
                    "volume",
                    "inspect",
                    "-f",
                    "{{range .Status.Problems}}{{.Check}} {{.Remedy}}{{end}}",
                    "runai-status"
                )
                .Ok(),
            Does.StartWith("no-gpu docker restart ")
        );
    }

    /// <summary>Root in a container can go around a preload. The host's driver counts what it has then.</summary>
    [Test]
    public void A_program_without_the_shim_above_the_quota()
    {
        var id = Engine.Start(
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            Image,
            "sh",
            "-c",
            ": >/etc/ld.so.preload; exec gpu-alloc --hold 300 5000m"
        );
        Eventually(() => Lines(id, "quota-exceeded: ").Length > 0, "it is told");
        Assert.That(
            Lines(id, "quota-exceeded: "),
            Does.Match(
                @"rules=[a-z,-]*quota-exceeded: .*its processes have [0-9]+ bytes \(4\.9g\) of GPU 0 \(.*\), "
                    + @"more than gpu-memory=0\.3 \(3456840499 bytes, 3\.2g\): a program in it runs without the shim"
            )
        );
        Assert.That(Runs(id), "onBreach is report");
        var within = Engine.Start(
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            Image,
            "gpu-alloc",
            "--hold",
            "300",
            "3000m"
        );
        Engine.Enforce("""{ "requireQuota": true, "maxQuota": "0.5", "onBreach": "stop" }""");
        Eventually(() => !Runs(id), "with onBreach stop it is stopped");
        Engine.Enforce(PolicyFile);
        Assert.That(Runs(within));
        Assert.That(Lines(within, "rules="), Is.Empty);
    }

    /// <summary>The first program, and one that the first, a shell with the shim, begins.</summary>
    [Test]
    public void A_program_without_the_shim_is_reported_early()
    {
        var first = Engine.Start(
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            Image,
            "sh",
            "-c",
            ": >/etc/ld.so.preload; exec sleep 300"
        );
        var second = Engine.Start(
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            Image,
            "sh",
            "-c",
            ": >/etc/ld.so.preload; sleep 300 & wait"
        );
        var within = Engine.Start(
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            "--init",
            Image,
            "sh",
            "-c",
            "sleep 300 & wait"
        );
        foreach (var id in (string[])[first, second])
        {
            Eventually(() => Lines(id, "rules=preload-missing").Length > 0, "it is told");
            Assert.That(
                Lines(id, "rules=preload-missing"),
                Does.Contain(
                    "/usr/bin/sleep in it runs without the shim, so nothing limits its GPU memory: restart the "
                        + "container"
                )
            );
            Assert.That(Runs(id), "onBreach is report");
        }
        Assert.That(Lines(within, "rules="), Is.Empty);
    }

    /// <summary>A GPU that no configuration gives, as open device files give it that another container's program hands
    /// on.</summary>
    [Test]
    public void A_container_without_GPU_whose_program_uses_one()
    {
        Engine.Start("-v", "runai:/runai", "--label", "gpu-memory=0.3", Image, "sleep", "300");
        var id = Engine
            .Docker(
                "run",
                "-d",
                "--network",
                "none",
                "-v",
                $"{Sim("")}:/sim:ro",
                "-v",
                $"{Engine.Gpus}:/run/simgpu",
                "-e",
                "LD_LIBRARY_PATH=/sim",
                Image,
                "/sim/gpu-alloc",
                "--hold",
                "300",
                "5000m"
            )
            .Ok();
        Eventually(() => Lines(id, "rules=require-quota").Length > 0, "it is told");
        Assert.That(
            Lines(id, "rules=require-quota"),
            Does.Contain("a container with a GPU (use of GPU 0) needs a quota on this machine")
        );
        Assert.That(Runs(id), "onBreach is report");
        Engine.Enforce("""{ "requireQuota": true, "maxQuota": "0.5", "onBreach": "stop" }""");
        Eventually(() => !Runs(id), "with onBreach stop it is stopped", seconds: 25);
        Engine.Enforce(PolicyFile);
    }

    [Test]
    public void A_running_container_that_a_new_policy_forbids()
    {
        var id = Engine.Start("-v", "runai:/runai", "--label", "gpu-memory=0.5", Image, "sleep", "300");
        var small = Engine.Start("-v", "runai:/runai", "--label", "gpu-memory=0.2", Image, "sleep", "300");
        Engine.Enforce("""{ "requireQuota": true, "maxQuota": "0.25" }""");
        Eventually(
            () => Lines(id, "rules=max-quota: gpu-memory=0.5 is more than you may have on one GPU, 0.25").Length > 0,
            "it is told"
        );
        Assert.That((Runs(id), Engine.Smi(id).Total), Is.EqualTo((true, Part(0.5m))), "onBreach is report");
        Engine.Enforce("""{ "requireQuota": true, "maxQuota": "0.25", "onBreach": "stop" }""");
        // sleep leaves it to the 10 s of a stop
        Eventually(() => !Runs(id), "with onBreach stop it is stopped", seconds: 25);
        Engine.Enforce(PolicyFile);
        Assert.That(Runs(small));
    }

    [Test]
    public void A_second_start_does_not_hide_what_a_container_uses()
    {
        var id = Engine.Start(
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            Image,
            "sh",
            "-c",
            "sleep 3; : >/etc/ld.so.preload; exec gpu-alloc --hold 300 5000m"
        );
        Assert.That(Engine.Raw("POST", $"/containers/{id}/start").Status, Is.EqualTo(304));
        Eventually(() => Lines(id, "quota-exceeded: ").Length > 0, "it is told");
    }

    [Test]
    public void A_dry_run_describes_a_command_and_runs_nothing()
    {
        var allowed = Ask(
            "ask",
            "docker",
            "run",
            "--rm",
            "--network",
            "none",
            "--gpus",
            "1",
            "--gpu-memory",
            "0.3",
            Image,
            "true"
        );
        Assert.That((allowed.Code, allowed.Error), Is.EqualTo((0, "")), allowed.All);
        Assert.That(
            allowed.Out,
            Does.StartWith("would be allowed\n")
                .And.Contain(
                    "\n  quota    0.3\n  GPU 0    3.2g of 10.7g (3456840499 bytes), 10.7g free for quotas, GPU-"
                )
        );
        var refused = Ask(
            "ask",
            "run",
            "--network",
            "none",
            "--gpus",
            "all",
            "-v",
            "runai:/runai",
            "--label=gpu-memory=0.6",
            Image
        );
        Assert.That((refused.Code, refused.Out), Is.EqualTo((1, refused.Out)), refused.All);
        Assert.That(
            refused.Out,
            Does.StartWith(
                "would be refused\n  refused  by max-quota: gpu-memory=0.6 is more than you may have on one "
                    + "GPU, 0.5: write gpu-memory=0.5 or less\n"
            )
        );
        var policy = Path.GetTempFileName();
        File.WriteAllText(policy, """{ "users": { "bob": { "maxQuota": "0.7" } }, "maxQuota": "0.1" }""");
        Assert.That(
            Ask("ask", "--policy", policy, "--user", "bob", "run", "--gpus", "all", "--gpu-memory", "0.6", Image).Out,
            Does.StartWith("would be allowed\n  caller   bob, no admin\n  policy   the one given")
        );
        Assert.That(Ask("check", policy).Out, Does.StartWith("a policy\n  mode                 enforce\n"));
        File.Delete(policy);
        Assert.That(Ask("ask", "service", "create", Image).Out, Does.StartWith("would be allowed"));
        Assert.That(Engine.Docker("ps", "-aq").Ok(), Is.Empty, "nothing was created");

        var container = CreateLegal("waiting");
        Assert.That(Ask("ask", "start", "waiting").Out, Does.StartWith("would be allowed"));
        Assert.That(
            Ask("ask", "run", "--pull", "always", "nowhere.invalid/image").Out,
            Does.StartWith("would be allowed"),
            "the first call of it is a pull"
        );
        foreach (var call in (string[])["start", "restart", "rename?name=other", "kill", "wait"])
            Assert.That(
                Engine.Raw("POST", $"/containers/{container}/{call}", null, "x-gpu-memory-ask: call").Body,
                Does.Contain("nothing was done")
            );
        Assert.That(
            Engine.Raw("DELETE", $"/containers/{container}", null, "X-Gpu-Memory-Ask: call").Status,
            Is.EqualTo(403)
        );
        Assert.That(
            Engine.Docker("inspect", "-f", "{{.State.Status}} {{.Name}}", container).Ok(),
            Is.EqualTo("created /waiting")
        );
    }

    [Test]
    public void A_refused_file_is_shown_beside_the_policy()
    {
        Assert.That((Ask("check").Code, Ask("check").Out), Is.EqualTo((0, Ask("check").Out)));
        Engine.WritePolicy("{ \"maxQuota\": 1 }");
        Eventually(() => Ask("check").Code == 1, "the file is refused");
        Assert.That(
            Ask("check").Out,
            Does.StartWith("refused: the file on disk; the last good policy stays in force\n  line 1: maxQuota must be")
                .And.Contain("\n  in force since 20")
                .And.Contain("\n  maxQuota             0.5\n")
        );
        Assert.That(
            Ask("ask", "--user", "bob", "run", "--gpus", "1", "--gpu-memory", "0.3", Image).Out,
            Does.StartWith("would be allowed")
        );
        Engine.WritePolicy(PolicyFile);
        Eventually(() => Ask("check").Code == 0, "the file counts again");
    }

    [Test]
    public void No_dry_run_without_an_engine_that_asks()
    {
        Engine.AskNobody();
        var asked = Ask("ask", "run", "--network", "none", Image, "true");
        Engine.Authorize();
        Assert.That((asked.Code, Engine.Docker("ps", "-aq").Ok()), Is.EqualTo((2, "")));
        Assert.That(asked.Error, Does.Contain("no answer from the plugin"));
    }
}
