// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

sealed class StatusVolumeTests
{
    [TestCase("alice", "runai-status.alice")]
    [TestCase("Alice_B.c-d", "runai-status.Alice_B.c-d")]
    [TestCase("ü", "runai-status.x-c3bc")]
    [TestCase("a b", "runai-status.x-612062")]
    [TestCase("../x", "runai-status.x-2e2e2f78")]
    [TestCase("x-c3bc", "runai-status.x-782d63336263", Description = "else it would be that of ü")]
    public void A_user_has_a_volume_that_a_call_can_name(string user, string volume)
    {
        Assert.That(StatusVolume.Of(user), Is.EqualTo(volume));
        Assert.That(StatusVolume.IsReserved(volume));
        Assert.That(StatusVolume.UserIn(volume), Is.EqualTo(StatusVolume.Spell(user)));
        Assert.That(VolumeName.FindProblem(volume), Is.Null);
    }

    [Test]
    public void No_two_users_share_one()
    {
        string[] names = ["a", "A", "x-", "x-61", "x-782d", "ä", "a\u0308", "", " ", new('y', 128), new('y', 129)];
        Assert.That(names.Select(StatusVolume.Of), Is.Unique);
    }
}
