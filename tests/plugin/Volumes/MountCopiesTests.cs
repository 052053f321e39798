// SPDX-License-Identifier: Apache-2.0
using FsCheck;
using FsCheck.Fluent;
using NUnit.Framework;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

/// <summary>What <c>docker cp</c> into a running container leaves in it on Docker 20.10.</summary>
sealed class MountCopiesTests
{
    const string Ours = "/var/lib/docker/plugins/p/propagated-mount/state/d1";

    /// <summary>Seen on 20.10.24, the paths shortened: a container's own mounts after two <c>docker cp</c> into it, of
    /// seven copies each.</summary>
    static readonly string[] Own =
    [
        "151 83 0:50 / / rw,relatime master:2 - overlay overlay rw",
        "152 151 0:55 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw",
        $"168 {{0}} 254:0 {Ours} /runai ro,nosuid,nodev,relatime - ext4 /dev/vda rw",
        "169 168 0:53 / /runai/usage rw,nosuid,nodev,noexec,relatime master:4 - tmpfs tmpfs rw,size=128k,nr_inodes=64",
        "170 151 254:0 /var/lib/docker/volumes/data/_data /data rw,relatime master:1 - ext4 /dev/vda rw",
    ];

    /// <summary>Each copy is put beneath the mounts that are there, with a copy of the ledger's mount on it: the lowest
    /// one stands last and is on the container's root.</summary>
    static IEnumerable<string> Copied(int copies)
    {
        const int First = 1000;
        foreach (var line in Own)
            yield return line.Replace("{0}", copies == 0 ? "151" : $"{First}", StringComparison.Ordinal);
        for (var copy = 0; copy < copies; copy++)
        {
            var id = First + copy * 2;
            yield return $"{id} {(copy == copies - 1 ? 151 : id + 2)} "
                + $"254:0 {Ours} /runai ro,nosuid,nodev,relatime master:3 "
                + "- ext4 /dev/vda rw";
            yield return $"{id + 1} {id} 0:53 / /runai/usage rw,nosuid,nodev,noexec,relatime master:4 - tmpfs tmpfs "
                + "rw,size=128k,nr_inodes=64";
        }
    }

    static IReadOnlyList<MountEntry> Keep(params IEnumerable<string> lines) =>
        ProcMountTable.Keep(lines.Select(line => (MountEntry.Parse(line), false)));

    static string Shadowings(IReadOnlyList<MountEntry> mounts) =>
        string.Join(
            ", ",
            Runai
                .GpuMemory.Reconciliation.MountShadowing.Observe(mounts, [.. mounts.Where(mount => mount.Root == Ours)])
                .Shadowings.Select(c => $"{c.By} on {c.Hidden}")
                .Distinct()
        );

    static bool IsCut(IReadOnlyList<MountEntry> mounts) => ReferenceEquals(mounts[^1], MountEntry.More);

    [TestCase(1)]
    [TestCase(2 * 7)]
    [TestCase(600 * 7)]
    [TestCase((ProcMountTable.MaxRead - 5) / 2)]
    public void A_container_has_the_mounts_that_it_had_before(int copies)
    {
        var kept = Keep(Copied(copies));
        Assert.That(kept, Is.EqualTo(Keep(Copied(0))));
        Assert.That(Shadowings(kept), Is.Empty);
    }

    [TestCase(0, false)]
    [TestCase(1, true)]
    public void Copies_have_a_bound_of_their_own(int beyond, bool isCut)
    {
        string[] more =
        [
            .. Enumerable.Range(0, 1 + beyond).Select(i => $"{900 + i} 151 254:0 / /more{i} rw - ext4 /dev/vda rw"),
        ];
        Assert.That(
            Copied((ProcMountTable.MaxRead - 5) / 2).Count() + more.Length,
            Is.EqualTo(ProcMountTable.MaxRead + beyond)
        );
        Assert.That(IsCut(Keep([.. Copied((ProcMountTable.MaxRead - 5) / 2), .. more])), Is.EqualTo(isCut));
    }

    [TestCase(0, false)]
    [TestCase(1, true)]
    public void Beside_copies_a_list_has_room_for_as_many_others(int beyond, bool isCut) =>
        Assert.That(
            IsCut(
                Keep([
                    .. Copied(70),
                    .. Enumerable
                        .Range(0, ProcMountTable.MaxMounts - Own.Length + beyond)
                        .Select(i => $"{10_000 + i} 151 254:0 /{i} /more{i} rw - ext4 /dev/vda rw"),
                ])
            ),
            Is.EqualTo(isCut)
        );

    /// <summary>Each is on the other, so that each hides something.</summary>
    [TestCase(ProcMountTable.MaxMounts, false)]
    [TestCase(ProcMountTable.MaxMounts + 1, true)]
    public void Two_alternating_mounts_are_no_copies(int count, bool isCut) =>
        Assert.That(
            IsCut(Keep(Enumerable.Range(1, count).Select(i => $"{i} {i - 1} 0:{i % 2} / /at rw - tmpfs tmpfs rw"))),
            Is.EqualTo(isCut)
        );

    /// <summary>14 copies: 1000, 1002 and so on to 1026, each with its usage on it.</summary>
    [TestCase("9000 168 0:60 / /runai", "/runai on /runai", Description = "on the container's own")]
    [TestCase("9000 168 0:60 / /runai/quota", "/runai/quota on /runai")]
    [TestCase("9000 169 0:60 / /runai/usage", "/runai/usage on /runai")]
    [TestCase("9000 1004 0:60 / /runai/quota", "/runai/quota on /runai", Description = "on a copy")]
    [TestCase("9000 1005 0:60 / /runai/usage", "/runai/usage on /runai")]
    [TestCase("9000 1026 0:60 / /runai/librunai.so", "/runai/librunai.so on /runai", Description = "on the lowest")]
    [TestCase("9000 151 0:60 / /runai", "/runai on /runai")]
    public void A_cover_above_or_below_copies_is_still_seen(string cover, string found) =>
        Assert.That(Shadowings(Keep([.. Copied(14), $"{cover} rw - tmpfs tmpfs rw"])), Is.EqualTo(found));

    [Test]
    public void A_cover_between_copies_is_still_seen()
    {
        var between = Copied(14)
            .Select(line =>
                line.StartsWith("1004 1006 ", StringComparison.Ordinal)
                    ? line.Replace("1004 1006 ", "1004 9000 ", StringComparison.Ordinal)
                    : line
            );
        var kept = Keep([.. between, "9000 1006 0:60 / /runai rw - tmpfs tmpfs rw"]);
        Assert.That(Shadowings(kept), Is.EqualTo("/runai on /runai"));
        Assert.That(kept, Has.Count.EqualTo(Own.Length + 3), "one of the copies below the cover, and its usage");
    }

    /// <summary>A folder that is mounted over itself hides what is mounted in it.</summary>
    [Test]
    public void A_copy_of_the_parent_covers_visibly()
    {
        string[] table =
        [
            "1 0 0:1 / / rw - x x rw",
            "2 1 8:1 /d /a rw - x x rw",
            $"3 2 254:0 {Ours} /a/runai rw - x x rw",
            "4 2 8:1 /d /a rw - x x rw",
        ];
        Assert.That(Shadowings(Keep(table)), Is.EqualTo("/a on /a/runai"));
        Assert.That(
            Keep([.. table, $"5 4 254:0 {Ours} /a/runai rw - x x rw"]),
            Has.Count.EqualTo(3),
            "and one with all that is in it hides nothing"
        );
    }

    [Test]
    public void Parents_in_a_circle_end()
    {
        Assert.That(
            Keep("1 2 0:1 / /a rw - x x rw", "2 1 0:1 / /a rw - x x rw", "3 3 0:1 / /a rw - x x rw"),
            Is.Not.Empty
        );
        Assert.That(
            Keep(
                "1 3 0:1 / /a rw - x x rw",
                "2 1 0:1 / /a rw - x x rw",
                "3 2 0:1 / /b rw - x x rw",
                "4 2 0:1 / /a rw - x x rw"
            ),
            Is.Not.Empty
        );
    }

    /// <summary>What is in a list once processes have mounted on and beneath what is there, and on what nobody sees:
    /// what a path leads to is the same mount afterwards.</summary>
    [Test]
    public void Only_unreachable_mounts_are_left_out() =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(500),
            Prop.ForAll<(byte Kind, byte Place, byte Device)[]>(steps =>
            {
                var table = new List<MountEntry> { new("0:0", "/", "/", null, 1) };
                foreach (var (kind, place, device) in steps)
                    Mount(table, kind % 4, place, $"0:{device % 2}");
                var kept = Keep(
                    table.Select(mount => $"{mount.Id} {mount.Parent} {mount.Device} / {mount.Target} rw - x x rw")
                );
                foreach (var path in Paths)
                    Assert.That(Seen(kept, path), Is.EqualTo(Seen(table, path)), path);
                foreach (var mount in kept)
                    Assert.That(
                        table,
                        Has.Some.EqualTo(mount)
                            .Or.Some.EqualTo(mount with { Parent = table.Find(one => one.Id == mount.Id)!.Parent })
                    );
            })
        );

    static readonly string[] Paths = ["/", "/a", "/a/b", "/a/b/c"];

    static void Mount(List<MountEntry> table, int kind, int place, string device)
    {
        var (path, any, id) = (Paths[place % Paths.Length], table[place % table.Count], table.Count + 1);
        if (kind == 0)
            table.Add(new(device, "/", path, null, id, Seen(table, path)));
        // the kernel would mount it on that
        else if (kind == 1 && !table.Exists(one => one.Parent == any.Id && one.Target == any.Target))
            table.Add(new(device, "/", any.Target, null, id, any.Id));
        else if (kind > 1 && any.Id != 1)
        {
            table[place % table.Count] = any with { Parent = id };
            table.Add(new(kind == 2 ? any.Device : device, "/", any.Target, null, id, any.Parent));
            foreach (
                var child in table
                    .Where(one => one.Parent == any.Id && one.Target != any.Target)
                    .Take(place % 3)
                    .ToArray()
            )
                table.Add(child with { Id = table.Count + 1, Parent = id });
        }
    }

    /// <summary>The mount to which a path leads.</summary>
    static int Seen(IReadOnlyList<MountEntry> table, string path)
    {
        var at = 1;
        foreach (var part in Paths.TakeWhile(one => one.Length <= path.Length))
            for (var next = On(part); next is not null; next = On(part))
                at = next.Id;
        return at;

        MountEntry? On(string part) =>
            table.FirstOrDefault(one => one.Parent == at && one.Id != at && one.Target == part);
    }
}
