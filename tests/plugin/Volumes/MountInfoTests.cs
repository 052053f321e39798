// SPDX-License-Identifier: Apache-2.0
using FsCheck;
using FsCheck.Fluent;
using NUnit.Framework;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

sealed class MountInfoTests
{
    [Test]
    public void A_line_is_read_up_to_its_target() =>
        Assert.That(
            MountEntry.Parse("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"),
            Is.EqualTo(new MountEntry("98:0", "/mnt1", "/mnt2", null, 36, 35) { Master = "1" })
        );

    [TestCase("shared:7 - ext4 x rw", "7")]
    [TestCase("master:1 shared:22 - ext4 x rw", "22")]
    [TestCase("master:1 - ext4 shared:3 rw", null)]
    [TestCase("- ext4 x rw", null)]
    public void The_peer_group_is_among_the_optional_fields(string fields, string? group) =>
        Assert.That(MountEntry.Parse($"36 35 98:0 / / rw {fields}")!.PeerGroup, Is.EqualTo(group));

    [TestCase("")]
    [TestCase("36 35 98:0 /mnt1")]
    [TestCase("x 35 98:0 /mnt1 /mnt2 rw - ext3 x rw")]
    [TestCase("36 -1 98:0 /mnt1 /mnt2 rw - ext3 x rw")]
    [TestCase("36 35 980 /mnt1 /mnt2 rw - ext3 x rw")]
    [TestCase("      ")]
    public void Invalid_lines_are_no_mounts(string line) => Assert.That(MountEntry.Parse(line), Is.Null);

    [TestCase(@"/a\040b", "/a b")]
    [TestCase(@"/a\011\012\134\043", "/a\t\n\\#")]
    [TestCase(@"/a\04", @"/a\04")]
    [TestCase(@"/a\999", @"/a\999")]
    [TestCase(@"\", @"\")]
    public void Octal_escapes_are_undone(string written, string meant) =>
        Assert.That(MountEntry.Unescape(written), Is.EqualTo(meant));

    [Test]
    public void Any_path_is_read_as_it_is() =>
        Check.QuickThrowOnFailure(
            Prop.ForAll<NonNull<string>, NonNull<string>>(
                (root, target) =>
                {
                    // What the kernel writes: mangle() of fs/seq_file.c.
                    static string Mangle(string path) =>
                        string.Concat(
                            path.Select(c =>
                                c is ' ' or '\t' or '\n' or '\\' or '#'
                                    ? "\\" + Convert.ToString(c, 8).PadLeft(3, '0')
                                    : c.ToString()
                            )
                        );
                    var line = $"1 2 8:1 /{Mangle(root.Get)} /{Mangle(target.Get)} ro - ext4 /dev/sda1 rw";
                    return MountEntry.Parse(line)
                        == new MountEntry("8:1", "/" + root.Get, "/" + target.Get, null, 1, 2);
                }
            )
        );

    [Test]
    public void No_text_breaks_the_reading() =>
        Check.QuickThrowOnFailure(Prop.ForAll<NonNull<string>>(text => Keep(text.Get).Count >= 0));

    static IReadOnlyList<MountEntry> Keep(string text) =>
        ProcMountTable.Keep(ProcMountTable.Lines(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(text))));

    static string Line(int id, int length, int more = 0) =>
        $"{id} 0 98:0 / /{id.ToString().PadLeft(length - 1, 'm')} rw - ext3 x {new string('o', more)}";

    [Test]
    public void Long_lines_are_read_up_to_a_bound()
    {
        var text = string.Join('\n', new string('a', 10), "", new string('b', 11), new string('c', 50_000), "d");
        var lines = BoundedLines.Read(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(text)), 10).ToArray();
        Assert.That(
            lines,
            Is.EqualTo(
                new[]
                {
                    (new string('a', 10), false),
                    ("", false),
                    (new string('b', 10), true),
                    (new string('c', 10), true),
                    ("d", false),
                }
            )
        );
    }

    [TestCase(8000, 10, 0, true)]
    [TestCase(8001, 10, 0, false)]
    [TestCase(256, 4095, 0, true, Description = "and a root of one character each: a megabyte")]
    [TestCase(257, 4095, 0, false)]
    [TestCase(1, 39_000, 0, true)]
    [TestCase(1, 40_000, 0, false)]
    [TestCase(3, 10, 100_000, true, Description = "options, which nobody needs")]
    public void A_list_is_bounded_and_says_so(int count, int length, int more, bool isWhole)
    {
        var kept = Keep(string.Join('\n', Enumerable.Range(1, count).Select(id => Line(id, length, more))));
        Assert.That(kept.Any(mount => ReferenceEquals(mount, MountEntry.More)), Is.EqualTo(!isWhole));
        if (isWhole)
            Assert.That(kept, Has.Count.EqualTo(count).And.All.Property("Target").Length.EqualTo(length));
    }

    /// <summary>Lines without end, made as they are read.</summary>
    sealed class Endless(int lines) : ReadOnlyStream(Null)
    {
        readonly byte[] _line = System.Text.Encoding.UTF8.GetBytes(Line(1, 4000) + "\n");
        long _left = (long)lines * (Line(1, 4000).Length + 1);

        public override int Read(byte[] buffer, int offset, int count)
        {
            var read = (int)Math.Min(Math.Min(count, _left), _line.Length);
            if (_left % _line.Length is > 0 and var rest)
                read = (int)Math.Min(read, rest);
            _line
                .AsSpan((int)((_line.Length - (_left % _line.Length)) % _line.Length), read)
                .CopyTo(buffer.AsSpan(offset));
            _left -= read;
            return read;
        }
    }

    [Test]
    public void Many_long_mounts_take_no_memory()
    {
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var (seen, kept) = (0, 0L);
        foreach (var mount in ProcMountTable.Readable(ProcMountTable.Lines(new Endless(10_000))))
        {
            Assert.That(mount.Target, Has.Length.EqualTo(4000));
            if (++seen % 1000 == 0)
                kept = Math.Max(kept, GC.GetTotalMemory(forceFullCollection: true) - before);
        }
        Assert.That(seen, Is.EqualTo(10_000));
        Assert.That(kept, Is.LessThan(4 << 20));
        var list = ProcMountTable.Keep(ProcMountTable.Lines(new Endless(10_000)));
        Assert.That(GC.GetTotalMemory(forceFullCollection: true) - before, Is.LessThan(8 << 20));
        Assert.That(list[^1], Is.SameAs(MountEntry.More));
    }

    [Test]
    public void A_directory_is_found_by_its_device()
    {
        var directories = Over("8:1", "/var/lib/docker/plugins/p/propagated-mount", "/var/lib/runai");
        const string root = "/var/lib/docker/plugins/p/propagated-mount/state/";
        Assert.That(directories.Find(new("8:1", root + "d1", "/runai")), Is.EqualTo("d1"));
        Assert.That(
            directories.Find(new("8:1", root + "d1/ld.so.preload", "/etc/ld.so.preload")),
            Is.EqualTo("d1"),
            "a subpath mount"
        );
        Assert.That(directories.Find(new("8:1", root + "d1//deleted", "/runai")), Is.EqualTo("d1"));
        Assert.That(directories.Find(new("8:2", root + "d1", "/runai")), Is.Null, "another file system");
        Assert.That(directories.Find(new("8:1", "/elsewhere/state/d1", "/runai")), Is.Null);
        Assert.That(directories.Find(new("8:1", root, "/runai")), Is.Null, "all of them");
        Assert.That(directories.Find(new("8:1", root.TrimEnd('/'), "/runai")), Is.Null);
        Assert.That(directories.Find(new("8:1", "/", "/host")), Is.Null);
    }

    /// <summary>Whatever folder above was bound, and wherever: what lies there is every container's.</summary>
    [TestCase("/", "/host", "/host/var/lib/docker/plugins/p/propagated-mount/mounts/d1", true)]
    [TestCase("/var/lib/docker/plugins/p/propagated-mount", "/host/p", "/host/p/mounts/d1", true)]
    [TestCase("/var/lib/docker/plugins/p/propagated-mount/mounts", "/x", "/x/d1", true)]
    [TestCase("/var/lib/docker/plugins/p/propagated-mount/mounts", "/x", "/x/d2", false)]
    [TestCase("/", "/", "/runai", false)]
    [TestCase("/data", "/mounts", "/mounts/d1", false)]
    public void The_propagated_folder_is_known_by_its_mount(string root, string target, string at, bool isHandedOut)
    {
        var directories = Over("8:1", "/var/lib/docker/plugins/p/propagated-mount", "/var/lib/runai");
        MountEntry mount = new("8:1", "/var/lib/docker/plugins/p/propagated-mount/state/d1", at);
        Assert.That(directories.IsHandedOut(mount, new("8:1", root, target)), Is.EqualTo(isHandedOut));
        Assert.That(directories.IsHandedOut(mount, new("8:2", root, target)), Is.False, "another file system");
    }

    [Test]
    public void The_folder_need_not_be_a_mount_of_its_own()
    {
        var directories = Over("8:1", "/", "/");
        Assert.That(directories.Find(new("8:1", "/var/lib/runai/state/d1", "/x")), Is.EqualTo("d1"));
    }

    static PrivateDirectories Over(string device, string root, string target)
    {
        var layout = new StateLayout(new PluginSettings());
        return new PrivateDirectories(layout, new ShimStore(layout), new OneMount(new(device, root, target)));
    }

    sealed class OneMount(MountEntry mount) : IMountTable
    {
        public IEnumerable<MountEntry> Own() => [new("0:1", "/", "/"), mount];

        public IReadOnlyList<MountEntry> OfProcess(int pid) => [];

        public IEnumerable<MountEntry> OneByOne(int pid) => OfProcess(pid);

        public IEnumerable<(int Pid, IEnumerable<MountEntry> Mounts)> All() => [];
    }
}
