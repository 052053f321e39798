// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Reconciliation;

/// <summary>Mount tables of containers, written as ID, parent and target; those that are <c>ours</c> of a private
/// directory.</summary>
sealed class MountShadowingTests
{
    static readonly string[] Ordinary =
    [
        "10 1 /",
        "11 10 /proc",
        "12 10 /etc/hosts",
        "13 10 /run ours",
        "14 13 /run/usage",
        "15 10 /data",
    ];

    static string Shadowings(params IEnumerable<string> table) =>
        string.Join(", ", Observe(table).Shadowings.Select(c => $"{c.By} on {c.Hidden}"));

    static Runai.GpuMemory.Admission.Containers.Observed Observe(IEnumerable<string> table)
    {
        var mounts = table.Select(Entry).ToArray();
        return Runai.GpuMemory.Reconciliation.MountShadowing.Observe(
            mounts,
            [.. mounts.Where(mount => mount.Device == "8:1")]
        );
    }

    static MountEntry Entry(string line)
    {
        var fields = line.Split(' ');
        return new(
            fields is [_, _, _, "ours"] ? "8:1" : "0:9",
            "/",
            fields[2],
            null,
            int.Parse(fields[0], null),
            int.Parse(fields[1], null)
        );
    }

    [Test]
    public void Ordinary_mounts_cover_nothing() => Assert.That(Shadowings(Ordinary), Is.Empty);

    [TestCase("20 13 /run", "/run on /run", Description = "on top of it")]
    [TestCase("20 13 /run/quota", "/run/quota on /run")]
    [TestCase("20 13 /run/librunai.so", "/run/librunai.so on /run")]
    [TestCase("20 14 /run/usage", "/run/usage on /run", Description = "a second ledger on top of ours")]
    [TestCase("20 14 /run/usage/ledger", "/run/usage/ledger on /run")]
    [TestCase("20 10 /runner", "")]
    [TestCase("20 10 /data/run", "")]
    public void Mounts_on_or_within_ours_cover_it(string mount, string found) =>
        Assert.That(Shadowings([.. Ordinary, mount]), Is.EqualTo(found));

    [Test]
    public void Only_later_mounts_above_ours_cover_it()
    {
        string[] below = ["10 1 /", "11 10 /a", "12 11 /a/b", "13 12 /a/b/run ours", "14 13 /a/b/run/usage"];
        Assert.That(Shadowings(below), Is.Empty);
        Assert.That(Shadowings([.. below, "15 12 /a/b"]), Is.EqualTo("/a/b on /a/b/run"));
        Assert.That(Shadowings([.. below, "15 11 /a"]), Is.EqualTo("/a on /a/b/run"));
    }

    /// <summary>What an engine of 20.10 leaves behind.</summary>
    [Test]
    public void Only_mounts_on_copies_of_ours_cover_it()
    {
        string[] copied = [.. Ordinary, "21 13 /run ours", "22 21 /run/usage", "23 21 /run ours", "24 23 /run/usage"];
        Assert.That(Shadowings(copied), Is.Empty);
        foreach (var parent in (int[])[14, 22, 24])
            Assert.That(Shadowings([.. copied, $"30 {parent} /run/usage"]), Does.StartWith("/run/usage on /run"));
        Assert.That(Shadowings([.. copied, "30 23 /run"]), Does.StartWith("/run on /run"));
        Assert.That(Shadowings([.. copied, "30 10 /run/usage"]), Does.StartWith("/run/usage on /run"));
    }

    [Test]
    public void A_part_of_ours_can_be_covered_too() =>
        Assert.That(
            Shadowings([.. Ordinary, "16 10 /etc/ld.so.preload ours", "17 16 /etc/ld.so.preload"]),
            Is.EqualTo("/etc/ld.so.preload on /etc/ld.so.preload")
        );

    [Test]
    public void Parents_in_a_circle_end() =>
        Assert.That(Shadowings("1 2 /", "2 1 /run ours", "3 3 /run"), Is.EqualTo("/run on /run"));

    [Test]
    public void Targets_are_those_of_all_others() =>
        Assert.That(Observe(Ordinary).Targets, Is.EqualTo(new[] { "/proc", "/etc/hosts", "/run/usage", "/data" }));
}
