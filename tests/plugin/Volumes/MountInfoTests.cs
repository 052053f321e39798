using FsCheck;
using FsCheck.Fluent;
using NUnit.Framework;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

public class MountInfoTests
{
    [Test]
    public void A_line_is_read_up_to_its_target() => Assert.That(
        MountEntry.Parse("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"), Is.EqualTo(new MountEntry("98:0", "/mnt1", "/mnt2", null, 36, 35) { Master = "1" }));

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
    public void What_is_no_mount_entry_is_none(string line) => Assert.That(MountEntry.Parse(line), Is.Null);

    [TestCase(@"/a\040b", "/a b")]
    [TestCase(@"/a\011\012\134\043", "/a\t\n\\#")]
    [TestCase(@"/a\04", @"/a\04")]
    [TestCase(@"/a\999", @"/a\999")]
    [TestCase(@"\", @"\")]
    public void Octal_escapes_are_undone(string written, string meant) => Assert.That(MountEntry.Unescape(written), Is.EqualTo(meant));

    [Test]
    public void Whatever_a_path_is_called_it_is_read_as_it_is() => Check.QuickThrowOnFailure(Prop.ForAll<NonNull<string>, NonNull<string>>((root, target) =>
    {
        // What the kernel writes: mangle() of fs/seq_file.c.
        static string Mangle(string path) => string.Concat(path.Select(c => c is ' ' or '\t' or '\n' or '\\' or '#' ? "\\" + Convert.ToString(c, 8).PadLeft(3, '0') : c.ToString()));
        var line = $"1 2 8:1 /{Mangle(root.Get)} /{Mangle(target.Get)} ro - ext4 /dev/sda1 rw";
        return MountEntry.Parse(line) == new MountEntry("8:1", "/" + root.Get, "/" + target.Get, null, 1, 2);
    }));

    [Test]
    public void No_text_breaks_the_reading() => Check.QuickThrowOnFailure(Prop.ForAll<NonNull<string>>(text => MountEntry.ParseAll(text.Get).Count() >= 0));

    [Test]
    public void A_directory_is_found_by_what_is_mounted_not_by_where()
    {
        var directories = Over("8:1", "/var/lib/docker/plugins/p/propagated-mount", "/var/lib/runai");
        const string root = "/var/lib/docker/plugins/p/propagated-mount/state/";
        Assert.That(directories.Find(new("8:1", root + "d1", "/runai")), Is.EqualTo("d1"));
        Assert.That(directories.Find(new("8:1", root + "d1/ld.so.preload", "/etc/ld.so.preload")), Is.EqualTo("d1"), "a subpath mount");
        Assert.That(directories.Find(new("8:1", root + "d1//deleted", "/runai")), Is.EqualTo("d1"));
        Assert.That(directories.Find(new("8:2", root + "d1", "/runai")), Is.Null, "another file system");
        Assert.That(directories.Find(new("8:1", "/elsewhere/state/d1", "/runai")), Is.Null);
        Assert.That(directories.Find(new("8:1", root, "/runai")), Is.Null, "all of them");
        Assert.That(directories.Find(new("8:1", root.TrimEnd('/'), "/runai")), Is.Null);
        Assert.That(directories.Find(new("8:1", "/", "/host")), Is.Null);
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
        public IReadOnlyList<MountEntry> Own() => [new("0:1", "/", "/"), mount];
        public IReadOnlyList<MountEntry> OfProcess(int pid) => [];
        public IEnumerable<(int Pid, IReadOnlyList<MountEntry> Mounts)> All() => [];
    }
}
