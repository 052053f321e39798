// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>Root in a container changes neither its own quota nor anything of its neighbour's.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class IsolationTests(string version) : EngineFixture(version)
{
    static readonly string[] Quota = ["-v", "runai:/runai", "--label", "gpu-memory=0.3"];

    [TestCase("echo limit=1 > /runai/quota")]
    [TestCase("rm -f /runai/quota")]
    [TestCase("mv /runai/quota /runai/other")]
    [TestCase("echo x > /runai/librunai.so")]
    [TestCase("rm -f /runai/librunai.so")]
    [TestCase("echo x > /runai/ld.so.preload")]
    [TestCase("touch /runai/more")]
    [TestCase("chmod 666 /runai/quota")]
    [TestCase("mkdir /runai/more")]
    public void The_private_directory_is_read_only(string command)
    {
        var output = Engine.Run([
            "--rm",
            .. Quota,
            Image,
            "sh",
            "-c",
            $"until [ -e /runai/quota ]; do sleep 0.02; done; {command}",
        ]);
        Assert.That(output.Code, Is.Not.Zero);
        Assert.That(output.Error, Does.Contain("Read-only file system"));
    }

    [Test]
    public void The_directory_cannot_be_mounted_writable()
    {
        var output = Engine.Run(["--rm", .. Quota, Image, "mount", "-o", "remount,bind,rw", "/runai"]);
        Assert.That(output.Code, Is.Not.Zero);
        Assert.That(output.Error, Does.Contain("permission denied").IgnoreCase.Or.Contain("Operation not permitted"));
    }

    [Test]
    public void The_ledger_is_writable_small_and_runs_nothing()
    {
        var output = Engine.Run([
            "--rm",
            .. Quota,
            Image,
            "sh",
            "-c",
            "grep ' /runai' /proc/mounts; dd if=/dev/zero of=/runai/usage/fill bs=1k count=1000",
        ]);
        var mounts = output.Out.Split('\n').Where(l => l.Contains(" /runai", StringComparison.Ordinal)).ToArray();
        Assert.That(mounts, Has.Length.EqualTo(2));
        Assert.That(mounts[0].Split(' ')[3].Split(','), Does.Contain("ro").And.Contain("nosuid").And.Contain("nodev"));
        Assert.That(
            mounts[1].Split(' ')[3].Split(','),
            Does.Contain("rw").And.Contain("nosuid").And.Contain("nodev").And.Contain("noexec").And.Contain("size=128k")
        );
        Assert.That(output.Error, Does.Contain("No space left on device"));
    }

    [Test]
    public void Neighbours_share_no_file_but_the_shim()
    {
        var left = Engine.Start([.. Quota, Image, "sleep", "600"]);
        var right = Engine.Start(["-v", "runai:/runai", "--label", "gpu-memory=0.5", Image, "sleep", "600"]);
        Engine.Docker("exec", left, "sh", "-c", "echo left > /runai/usage/mine").Ok();
        Assert.That(Engine.Docker("exec", right, "ls", "/runai/usage").Ok(), Does.Not.Contain("mine"));
        string Limit(string container) =>
            Engine.Docker("exec", container, "grep", "-E", "^(limit|container)=", "/runai/quota").Ok();
        Eventually(() => Engine.Docker("exec", right, "ls", "/runai/quota").Code == 0, "the quota file is there");
        Assert.That(Limit(left), Is.EqualTo($"container={left}\nlimit=0.3"));
        Assert.That(Limit(right), Is.EqualTo($"container={right}\nlimit=0.5"));
    }

    [Test]
    public void Docker_cp_leaves_the_quota_in_force()
    {
        var container = Engine.Start([.. Quota, Image, "sleep", "600"]);
        Assert.That(Engine.Smi(container).Total, Is.EqualTo(3296));
        for (var n = 0; n < 3; n++)
        {
            Engine.Docker("cp", Repository.Script("image.sh"), $"{container}:/tmp/").Ok();
            Engine.Docker("cp", $"{container}:/etc/passwd", "-").Ok();
        }

        Assert.That(Engine.Smi(container).Total, Is.EqualTo(3296));
        Assert.That(Engine.Docker("exec", container, "cat", "/runai/quota").Ok(), Does.Contain("limit=0.3"));
        Assert.That(Engine.Docker("exec", container, "gpu-alloc", "4g").Code, Is.EqualTo(2));
        Engine.KillPlugin(); // and all is looked at anew
        Eventually(() => Engine.Log.Split("watching the engine's containers").Length > 2, "it watches again");
        Thread.Sleep(1000);
        Assert.That(Engine.Smi(container).Total, Is.EqualTo(3296), "what the copying leaves covers nothing");
    }

    [Test]
    public void Docker_cp_cannot_overwrite_the_preload_file()
    {
        var container = Engine
            .Docker(["create", "--network", "none", "--gpus", "1", .. Quota, Image, .. SmiQuery])
            .Ok();
        var empty = Path.GetTempFileName();
        Engine.Docker("cp", empty, $"{container}:/etc/ld.so.preload");
        Assert.That(Engine.Docker("start", "-a", container).Ok(), Does.StartWith("3296,"));
    }

    [Test]
    public void A_removed_container_leaves_nothing_behind()
    {
        Engine.Run(["--rm", .. Quota, Image, .. SmiQuery]).Ok();
        var container = Engine.Start([.. Quota, Image, "sleep", "600"]);
        Engine.Docker("rm", "-f", container).Ok();
        Eventually(() => Engine.PrivateDirectories().Length == 0, "the private directories are gone", 60);
    }

    // In this fixture the plugin runs for longer than it takes to watch itself: 15 s.
    [Test]
    public void A_plugin_that_hangs_ends_and_calls_go_on()
    {
        var container = Engine.Start([.. Quota, Image, "sleep", "600"]);
        var plugin = Engine.PluginProcess();
        using var process = Process.GetProcessById(plugin);
        Eventually(
            () => DateTime.UtcNow - process.StartTime.ToUniversalTime() > TimeSpan.FromSeconds(16),
            "it watches itself"
        );
        using var frozen = new FrozenThreads(plugin, except: "watchdog");
        var waited = Stopwatch.StartNew();
        Engine.Docker("ps").Ok();
        Assert.That(waited.Elapsed, Is.LessThan(TimeSpan.FromSeconds(60)), "without the watchdog: more than 120 s");
        Assert.That(Engine.PluginProcess(), Is.Not.EqualTo(plugin));
        Assert.That(Engine.Smi(container).Total, Is.EqualTo(3296));
        Assert.That(ParseSmi(Engine.Run(["--rm", .. Quota, Image, .. SmiQuery]).Ok()).Total, Is.EqualTo(3296));
    }
}
