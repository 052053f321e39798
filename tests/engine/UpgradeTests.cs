// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>What runs keeps its limit while the plugin is away and under its next version, and what cannot is
/// named.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class UpgradeTests(string version) : EngineFixture(version)
{
    const long Limit = 2L << 30;
    const int Context = 64;

    protected override TestEngine Create(string version) => new(version, policy: Policy("report"));

    static string Policy(string onBreach) => $$"""{ "overcommit": 10, "onBreach": "{{onBreach}}" }""";

    string Started(params string[] flags) =>
        Engine.Start([.. flags, "-v", "runai:/runai", "--label", "gpu-memory=2g", Image, "sleep", "600"]);

    /// <summary>In a container: a program that holds memory in the background.</summary>
    void Hold(string container, string size) =>
        Engine
            .Docker(
                "exec",
                container,
                "sh",
                "-c",
                $"gpu-alloc --hold 600 {size} >/tmp/held 2>&1 </dev/null & until grep -q allocated /tmp/held; "
                    + "do sleep 0.05; done"
            )
            .Ok();

    void Private(params string[] containers) =>
        Eventually(
            () =>
                Array.TrueForAll(
                    containers,
                    container =>
                        Engine.MountOf(container, "/runai") is { Length: > 0 } mount
                        && !mount.Contains("master:", StringComparison.Ordinal)
                ),
            "the mounts are private"
        );

    /// <summary>The most that a container ever had, by the driver's count, while so many processes at once tried for
    /// more than its quota.</summary>
    long Race(string container, int processes)
    {
        Engine.ForgetPeak();
        var output = Engine
            .Docker(
                "exec",
                container,
                "sh",
                "-c",
                $"for n in $(seq {processes}); do gpu-alloc --hold 1 16m 16m 16m >/tmp/$n 2>&1 & done; wait; "
                    + "cat /tmp/[0-9]*"
            )
            .All;
        Assert.That(output, Does.Contain("CUDA_ERROR_OUT_OF_MEMORY"), "they come to the limit");
        return Engine.Peak();
    }

    [Test]
    public void Running_containers_keep_account_and_shim_over_an_upgrade()
    {
        const int Held = 512 + Context;
        // Older engines ask for capabilities that this kernel may not have.
        string[] ways =
        [
            "",
            "--user 1234",
            Engine.Major < 26 ? "--cap-add SYS_PTRACE --cap-add SYS_MODULE" : "--privileged",
            "--cap-add SYS_ADMIN --security-opt seccomp=unconfined",
        ];
        var containers = ways.Select(flags => Started(flags.Split(' ', StringSplitOptions.RemoveEmptyEntries)))
            .ToArray();
        var blind = Started();
        TakeNvmlAway(blind);
        string[] all = [.. containers, blind];
        foreach (var container in all)
            Hold(container, "512m");
        Private(all);
        string[] Ledgers() =>
            [.. all.Select(container => Engine.Docker("exec", container, "ls", "-i", "/runai/usage").Ok())];
        var before = Ledgers();
        Upgrade(
            Path.Combine(Repository.Build, "shim/quiet/x86_64"),
            () =>
                Assert.That(
                    containers.Select(container => Engine.Smi(container)),
                    Is.All.EqualTo((2048, Held)),
                    "without the plugin"
                )
        );
        Assert.That(Engine.Smi(Started()).Total, Is.EqualTo(TotalMiB), "the next version's shim is an empty library");
        foreach (var container in all)
            // 20.10 mounts volumes for that
            Engine.Docker("cp", Repository.Script("image.sh"), $"{container}:/tmp/").Ok();
        Assert.That(Ledgers(), Is.EqualTo(before).And.All.Not.Empty);
        Assert.That(containers.Select(container => Engine.Smi(container)), Is.All.EqualTo((2048, Held)));
        Assert.That(Race(blind, 64) - ((all.Length - 1L) * (Held << 20)), Is.LessThanOrEqualTo(Limit), "without NVML");
        foreach (var container in containers)
            Assert.That(
                Race(container, 64) - ((all.Length - 1L) * (Held << 20)),
                Is.LessThanOrEqualTo(Limit).And.GreaterThan(Limit - (200 << 20))
            );
        Assert.That(
            Engine
                .Log.Split('\n')
                .Where(line =>
                    line.Contains("volume-gone", StringComparison.Ordinal)
                    && Array.Exists(all, container => line.Contains(container, StringComparison.Ordinal))
                ),
            Is.Empty
        );
        Upgrade(Path.Combine(Repository.Build, "shim/stripped/librunai.so"));
    }

    /// <summary>To a version with another shim.</summary>
    void Upgrade(string shim, Action? meanwhile = null) =>
        Engine.TakePluginAway(() =>
        {
            File.Copy(shim, Path.Combine(Engine.PluginRoot, "usr/lib/runai/librunai.so"), overwrite: true);
            meanwhile?.Invoke();
        });

    /// <summary>As in a container that has just the capability <c>compute</c>.</summary>
    void TakeNvmlAway(string container)
    {
        var pid = $"{Engine.StateOf(container).Pid}";
        var library = File.ReadLines($"/proc/{pid}/mountinfo")
            .Select(line => line.Split(' ')[4])
            .Single(target => target.EndsWith("/libnvidia-ml.so.1", StringComparison.Ordinal));
        Shell.Run("nsenter", "--target", pid, "--mount", "--pid", "--", "umount", library).Ok();
        Assert.That(Engine.Docker("exec", container, "nvidia-smi").Code, Is.Not.Zero, "it is gone");
    }

    [Test]
    public void A_container_that_lost_the_plugins_folder_is_reported()
    {
        var container = Started("--stop-signal", "KILL");
        Private(container);
        Engine.AskNobody();
        Engine.Docker("plugin", "disable", "-f", Plugin).Ok();
        Engine.Docker("plugin", "rm", "-f", Plugin).Ok();
        Engine.InstallPlugin();
        Engine.Authorize();
        Eventually(
            () =>
                Engine.Log.Contains(
                    $"rules=volume-gone: the private directory of the runai volume at /runai is gone",
                    StringComparison.Ordinal
                ),
            "it is reported",
            5
        );
        Engine.WritePolicy(Policy("stop"));
        Eventually(() => !Engine.Runs(container), "it is stopped");
        Engine.WritePolicy(Policy("report"));
    }
}
