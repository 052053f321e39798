// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

sealed class ReferenceTableTests
{
    static readonly string Id = new('a', 64);
    static readonly MountReference Short = new(Id, "runai", 1, "boot", DateTimeOffset.UnixEpoch);
    static readonly MountReference Long = Short with { Volume = new('v', 2000), Container = new('c', 64), Pid = 7 };

    StateLayout _layout = null!;

    [SetUp]
    public void Begin() => _layout = new(new() { State = Directory.CreateTempSubdirectory("refs").FullName });

    [TearDown]
    public void End() => Directory.Delete(_layout.State, recursive: true);

    MountReference? Reloaded()
    {
        var next = new ReferenceTable(_layout);
        next.Load();
        return next.Find(Id);
    }

    [Test]
    public void The_next_process_finds_the_last_record()
    {
        var table = new ReferenceTable(_layout);
        table.Load();
        foreach (
            var reference in (MountReference[])
                [Short, Long, Short with { Count = 2 }, Short with { Container = "c" }, Long, Short]
        )
        {
            table.Set(Id, reference);
            Assert.That(Reloaded(), Is.EqualTo(reference));
        }
    }

    [Test]
    public void Changing_a_record_takes_no_more_room()
    {
        var table = new ReferenceTable(_layout);
        table.Load();
        for (var count = 0; count < 50; count++)
            table.Set(Id, Short with { Count = count });
        var file = new FileInfo(_layout.Reference(Id));
        Assert.That(
            (file.Length, file.UnixFileMode),
            Is.EqualTo((1024L, UnixFileMode.UserRead | UnixFileMode.UserWrite))
        );
    }

    [Test]
    public void A_file_that_is_no_record_is_removed([Values("", "{", "{}", "null", "\0\0")] string text)
    {
        _layout.Prepare();
        File.WriteAllText(_layout.Reference(Id), text);
        Assert.That(Reloaded(), Is.Null);
        Assert.That(File.Exists(_layout.Reference(Id)), Is.False);
    }
}
