// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>Containers that share namespaces with the host or with each other: each keeps to its own quota and is
/// charged for what it holds itself.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class NamespaceTests(string version) : EngineFixture(version)
{
    const int Context = 64;

    /// <summary>A container with a half of the GPU, of which it holds 2 GiB and a context.</summary>
    string Neighbour()
    {
        var container = Engine.Start(
            "--ipc",
            "shareable",
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.5",
            Image,
            "gpu-alloc",
            "--hold",
            "600",
            "2g"
        );
        Eventually(
            () => Engine.Docker("logs", container).Out.Contains("allocated", StringComparison.Ordinal),
            "the neighbour holds its memory"
        );
        return container;
    }

    int Allocate(string container, string size) => Engine.Docker("exec", container, "gpu-alloc", size).Code;

    /// <summary>In a container: a program that holds memory in the background.</summary>
    static string Hold(string size) =>
        $"gpu-alloc --hold 600 {size} >/tmp/held-{size} 2>&1 </dev/null & until grep -q allocated "
        + $"/tmp/held-{size}; do sleep 0.05; done";

    [TestCase("--pid host")]
    [TestCase("--pid container")]
    [TestCase("--ipc host")]
    [TestCase("--pid container --ipc container")]
    public void Each_container_has_its_own_quota_and_account(string modes)
    {
        var other = Neighbour();
        var mine = Engine.Start([
            .. modes.Split(' ').Select(word => word == "container" ? $"container:{other}" : word),
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            Image,
            "sleep",
            "600",
        ]);
        Assert.That(Engine.Smi(mine), Is.EqualTo((3296, 0)), "nothing of the neighbour's is charged");
        Assert.That(
            (Allocate(mine, "3220m"), Allocate(mine, "3240m")),
            Is.EqualTo((0, 2)),
            "all of the quota can be had, and no more"
        );

        Engine.Docker("exec", mine, "sh", "-c", Hold("1g")).Ok();
        Assert.That(Engine.Smi(mine), Is.EqualTo((3296, 1024 + Context)));
        Assert.That(
            (Allocate(mine, "2100m"), Allocate(mine, "2200m")),
            Is.EqualTo((0, 2)),
            "the processes of a container share its quota"
        );
        Assert.That(Engine.Smi(other), Is.EqualTo((5494, 2048 + Context)), "the neighbour is not charged");
        Assert.That(
            (Allocate(other, "3300m"), Allocate(other, "3400m")),
            Is.EqualTo((0, 2)),
            "the neighbour has what is its own"
        );

        // A program that has lost the preload stands in no ledger: its control group says whose it is.
        Engine
            .Docker(
                "exec",
                mine,
                "sh",
                "-c",
                $"mv /etc/ld.so.preload /etc/away; {Hold("500m")}; mv /etc/away /etc/ld.so.preload"
            )
            .Ok();
        Assert.That(Engine.Smi(mine), Is.EqualTo((3296, 1024 + 500 + (2 * Context))), "what it holds counts");
        Assert.That(Allocate(mine, "1700m"), Is.EqualTo(2));
        Assert.That(Engine.Smi(other), Is.EqualTo((5494, 2048 + Context)), "and not for the neighbour");
    }
}
