// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>Engines that their admins have set up otherwise: containers' users mapped to others, images kept by
/// containerd, the host's control groups in sight.</summary>
[TestFixture(Engines.Oldest, "--userns-remap=default")]
[TestFixture(Engines.Newest, "--userns-remap=default")]
[TestFixture(Engines.Newest, "--feature=containerd-snapshotter=true")]
[TestFixture(Engines.Newest, "--default-cgroupns-mode=host")]
sealed class EngineSettingsTests(string version, string flag) : EngineFixture(version)
{
    static readonly string[] Quota = ["-v", "runai:/runai", "--label", "gpu-memory=0.5"];

    protected override TestEngine Create(string version) => new(version, flags: flag);

    [TestCase("0")]
    [TestCase("1234")]
    public void A_container_has_its_quota_under_any_user(string user)
    {
        Assert.That(
            ParseSmi(Engine.Run(["--rm", .. Quota, "--user", user, Image, .. SmiQuery]).Ok()),
            Is.EqualTo((5494, 0))
        );
        var more = Engine.Run(["--rm", .. Quota, "--user", user, Image, "gpu-alloc", "5g", "1g"]);
        Assert.That(
            (more.Code, more.All.Contains("CUDA_ERROR_OUT_OF_MEMORY", StringComparison.Ordinal)),
            Is.EqualTo((2, true)),
            more.All
        );
    }

    [Test]
    public void Programs_share_the_quota_and_neighbours_do_not()
    {
        var mine = Engine.Start([.. Quota, Image, "gpu-alloc", "--hold", "600", "2g"]);
        Eventually(
            () => Engine.Docker("logs", mine).Out.Contains("allocated", StringComparison.Ordinal),
            "the memory is held"
        );
        var other = Engine.Start([.. Quota, Image, "sleep", "600"]);
        Assert.That((Engine.Smi(mine), Engine.Smi(other)), Is.EqualTo(((5494, 2048 + 64), (5494, 0))));
        Assert.That(Engine.Docker("exec", mine, "gpu-alloc", "3500m").Code, Is.EqualTo(2));
        Assert.That(Engine.Docker("exec", other, "gpu-alloc", "5g").Code, Is.Zero);
    }

    [Test]
    public void The_account_outlives_the_plugin()
    {
        string[] containers =
        [
            .. ((string[])["0", "1234"]).Select(user =>
                Engine.Start([.. Quota, "--user", user, Image, "gpu-alloc", "--hold", "600", "2g"])
            ),
        ];
        foreach (var container in containers)
            Eventually(
                () =>
                    Engine.Docker("logs", container).Out.Contains("allocated", StringComparison.Ordinal)
                    && Engine.MountOf(container, "/runai") is { Length: > 0 } mount
                    && !mount.Contains("master:", StringComparison.Ordinal),
                "the memory is held, and the mount is private"
            );
        Engine.TakePluginAway(() =>
            Assert.That(containers.Select(container => Engine.Smi(container)), Is.All.EqualTo((5494, 2048 + 64)))
        );
        Assert.That(containers.Select(container => Engine.Smi(container)), Is.All.EqualTo((5494, 2048 + 64)));
    }

    [Test]
    public void No_program_can_write_its_own_quota() =>
        Assert.That(Engine.Run(["--rm", .. Quota, Image, "sh", "-c", "echo limit=1 >/runai/quota"]).Code, Is.Not.Zero);

    [Test]
    public void A_quota_without_the_volume_is_refused() =>
        Assert.That(
            Engine.Run("--rm", "--label", "gpu-memory=0.5", Image, "true").All,
            Does.Contain("gpu-memory=0.5 needs the runai volume: add -v runai:/runai")
        );
}
