// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Status.Checks;
using Runai.GpuMemory.Tests.Volumes;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Status.Checks;

/// <summary>On small file systems of the test's own.</summary>
sealed class SpaceCheckTests : HostRoot
{
    [TestCase("size=65m,nr_inodes=5000", "")]
    [TestCase("size=63m,nr_inodes=5000", "less than 64 MiB")]
    [TestCase("size=65m,nr_inodes=4000", "room for less than 4096 files (inodes)")]
    [TestCase("size=1m,nr_inodes=10", "less than 64 MiB")]
    public void A_disk_that_is_nearly_full_is_a_problem(string options, string what) =>
        PrivateNamespace.Run(() =>
        {
            Assert.That(PrivateNamespace.Mount("tmpfs", Settings.State, "tmpfs", 0, options), Is.Zero);
            Assert.That(
                Find(new SpaceCheck(new StateLayout(Settings))),
                what.Length == 0
                    ? Is.Empty
                    : Has.One.StartsWith($"space : the disk of the engine's data folder has {what} left")
            );
        });

    [Test]
    public void Room_agrees_with_what_df_says()
    {
        var room = FileSystemRoom.Of("/proc")!.Value;
        Assert.That((room.FreeBytes, room.FreeFiles), Is.EqualTo((0L, (long?)null)), "it has no number of files");
        Assert.That(FileSystemRoom.Of(Root + "/missing"), Is.Null);
        Assert.That(Find(new SpaceCheck(new StateLayout(Settings with { State = "/missing" }))), Is.Empty);
        PrivateNamespace.Run(() =>
        {
            Assert.That(PrivateNamespace.Mount("tmpfs", Settings.State, "tmpfs", 0, "size=8m,nr_inodes=100"), Is.Zero);
            Write("state/file", new string('x', 1 << 20));
            Assert.That(
                FileSystemRoom.Of(Settings.State),
                Is.EqualTo(new FileSystemRoom(7 << 20, 98)),
                "of 100 the folder and the file have two"
            );
        });
    }
}
