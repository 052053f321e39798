// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using NUnit.Framework;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

sealed class VolumeDriverTests
{
    VolumesUnderTest _volumes = null!;

    [SetUp]
    public void SetUp() => _volumes = new VolumesUnderTest();

    [TearDown]
    public void TearDown() => _volumes.Dispose();

    static Dictionary<string, string> Quota(string value) => new() { ["gpu-memory"] = value };

    [Test]
    public void The_volume_runai_is_always_there()
    {
        Assert.That(_volumes.Describe("runai")!.Name, Is.EqualTo("runai"));
        Assert.That(_volumes.Driver.Create("runai", new Dictionary<string, string>()), Is.Null);
        Assert.That(_volumes.Driver.Remove("runai"), Is.Null);
        Assert.That(_volumes.Describe("runai"), Is.Not.Null);
        Assert.That(
            _volumes.Driver.Create("runai", Quota("0.5")),
            Does.Contain("volume runai exists already without gpu-memory").And.Contain("gpu-memory=0.5")
        );
    }

    [Test]
    public void Other_names_are_not_ours() => Assert.That(_volumes.Describe("data"), Is.Null);

    [Test]
    public void A_volume_outlives_the_plugin()
    {
        Assert.That(_volumes.Driver.Create("half_1.of-it", Quota("0.5")), Is.Null);
        Assert.That(_volumes.Driver.Create("plain", new Dictionary<string, string>()), Is.Null);
        _volumes.Restart();
        Assert.That(_volumes.Catalog.Find("half_1.of-it")!.GpuMemory, Is.EqualTo("0.5"));
        Assert.That(
            _volumes.Driver.DescribeAll().Select(volume => volume.Name),
            Is.EqualTo(new[] { "half_1.of-it", "plain", "runai" })
        );
        Assert.That(_volumes.Driver.Remove("half_1.of-it"), Is.Null);
        _volumes.Restart();
        Assert.That(_volumes.Describe("half_1.of-it"), Is.Null);
    }

    [Test]
    public void Create_is_a_no_op_when_the_volume_exists()
    {
        Assert.That(_volumes.Driver.Create("half", Quota("0.5")), Is.Null);
        Assert.That(_volumes.Driver.Create("half", Quota("0.5")), Is.Null);
        Assert.That(
            _volumes.Driver.Create("half", Quota("0.6")),
            Is.EqualTo(
                "volume half exists already with gpu-memory=0.5, and was now to be made with gpu-memory=0.6: "
                    + "take another name"
            )
        );
        Assert.That(
            _volumes.Driver.Create("half", new Dictionary<string, string>()),
            Does.Contain("without gpu-memory")
        );
    }

    [Test]
    public void Remove_is_a_no_op_when_the_volume_is_gone() => Assert.That(_volumes.Driver.Remove("nothing"), Is.Null);

    [Test]
    public void Other_options_are_refused_by_name()
    {
        Assert.That(
            _volumes.Driver.Create(
                "vol",
                new Dictionary<string, string>
                {
                    ["gpu-memory"] = "0.5",
                    ["size"] = "1g",
                    ["device"] = "/",
                }
            ),
            Does.Contain("unknown option device, size")
        );
        Assert.That(_volumes.Describe("vol"), Is.Null);
    }

    [TestCase("2")]
    [TestCase("")]
    [TestCase("0")]
    public void An_invalid_quota_is_refused_with_accepted_forms(string value) =>
        Assert.That(_volumes.Driver.Create("vol", Quota(value)), Does.Contain("gpu-memory").And.Contain("0.5"));

    [TestCase("c", "volume name is too short, names should be at least two alphanumeric characters")]
    [TestCase(
        "../x",
        "\"../x\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed"
    )]
    [TestCase(".dot", "\".dot\" includes invalid characters")]
    [TestCase("-x", "\"-x\" includes invalid characters")]
    [TestCase("a b", "\"a b\" includes invalid characters")]
    [TestCase("ümlaut", "includes invalid characters")]
    [TestCase("a/b", "\"a/b\" includes invalid characters")]
    public void Names_are_refused_in_the_engines_words(string name, string words)
    {
        Assert.That(_volumes.Driver.Create(name, Quota("0.5")), Does.Contain(words));
        Assert.That(_volumes.Describe(name), Is.Null);
    }

    [Test]
    public void Volumes_of_earlier_versions_can_be_removed()
    {
        foreach (var name in (string[])["c", ".dot", "a b", "../x", "/", "a/./b"])
            AtomicFile.Write(
                _volumes.Layout.Volume(name),
                JsonSerializer.SerializeToUtf8Bytes(new { Name = name, GpuMemory = "0.5" }),
                UnixFileMode.UserRead
            );
        _volumes.Restart();
        Assert.That(
            _volumes.Driver.DescribeAll().Select(volume => volume.Name),
            Is.EqualTo(new[] { ".dot", "a b", "c", "runai" })
        );
        foreach (var name in (string[])["c", ".dot", "a b"])
            Assert.That(_volumes.Driver.Remove(name), Is.Null);
        _volumes.Restart();
        Assert.That(_volumes.Driver.DescribeAll().Select(volume => volume.Name), Is.EqualTo(new[] { "runai" }));
    }

    [Test]
    public void A_volume_shows_when_it_was_made()
    {
        _volumes.Driver.Create("half", Quota("0.5"));
        foreach (var name in (string[])["runai", "half"])
        {
            var made = _volumes.Describe(name)!;
            Assert.That(made.CreatedAt, Is.EqualTo(DateTimeOffset.UtcNow).Within(TimeSpan.FromMinutes(5)));
            File.SetLastWriteTimeUtc(_volumes.Layout.Volume(name), new(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc));
            _volumes.Restart();
            Assert.That(
                _volumes.Describe(name)!.CreatedAt,
                Is.EqualTo(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero))
            );
        }
    }

    [Test]
    public void A_name_too_long_for_a_file_is_refused() =>
        Assert.That(_volumes.Driver.Create(new string('n', 300), Quota("0.5")), Does.Contain("too long"));

    /// <summary>Were it not listed, the engine would make a volume of its own of that name, and a container with it
    /// would have no quota.</summary>
    [TestCase("")]
    [TestCase("null")]
    [TestCase("{\"Na")]
    [TestCase("\0\0\0\0")]
    [TestCase("""{"Name":"other","GpuMemory":"0.5"}""")]
    [TestCase("""{"Name":"bad","GpuMemory":"0;5"}""")]
    public void A_damaged_volume_stays_and_is_not_mounted(string content)
    {
        const string Words =
            "the file of the volume bad is damaged, so its quota is not known: docker volume rm bad, then "
            + "docker volume create -d gpu -o gpu-memory=0.5 bad with the quota that it had";
        _volumes.Driver.Create("half", Quota("0.5"));
        File.WriteAllText(_volumes.Layout.Volume("bad"), content);
        _volumes.Restart();
        Assert.That(
            _volumes.Driver.DescribeAll().Select(volume => volume.Name),
            Is.EqualTo(new[] { "bad", "half", "runai" })
        );
        Assert.That(_volumes.Catalog.Find("bad")!.IsDamaged);
        Assert.That(_volumes.Driver.MountAsync("bad", new('a', 64), default).Result.Error, Is.EqualTo(Words));
        Assert.That(_volumes.Driver.Create("bad", Quota("0.5")), Is.EqualTo(Words));
        _volumes.Driver.Remove("bad");
        Assert.That(_volumes.Driver.Create("bad", Quota("0.5")), Is.Null);
        _volumes.Restart();
        Assert.That(_volumes.Catalog.Find("bad")!.GpuMemory, Is.EqualTo("0.5"));
    }

    [Test]
    public void Files_that_are_no_volumes_are_ignored()
    {
        File.WriteAllText(_volumes.Layout.Volume("runai"), "{");
        File.WriteAllText(Path.Combine(_volumes.Layout.Volumes, "a b.json"), "{");
        var left = _volumes.Layout.Volume("half") + ".0123~";
        File.WriteAllText(left, "{");
        _volumes.Restart();
        Assert.That(_volumes.Driver.DescribeAll().Select(volume => volume.Name), Is.EqualTo(new[] { "runai" }));
        Assert.That(_volumes.Catalog.Find("runai")!.IsDamaged, Is.False);
        Assert.That(File.ReadAllText(_volumes.Layout.Volume("runai")), Does.Contain("runai"));
        Assert.That(File.Exists(left), Is.False);
    }

    [TestCase("gpu", true)]
    [TestCase("gpu:latest", true)]
    [TestCase("local", false)]
    [TestCase("other/gpu", false)]
    [TestCase("", false)]
    public void A_plain_sockets_name_is_the_driver(string driver, bool ours)
    {
        Assert.That(_volumes.Catalog.IsThisDriver(driver), Is.EqualTo(ours));
        Assert.That(
            _volumes.Catalog.Owns(
                new MountPoint
                {
                    Type = "volume",
                    Name = "runai",
                    Driver = driver,
                }
            ),
            Is.EqualTo(ours)
        );
        Assert.That(
            _volumes.Catalog.Owns(
                new MountPoint
                {
                    Type = "bind",
                    Name = "runai",
                    Driver = driver,
                }
            ),
            Is.False
        );
    }

    [Test]
    public void Volumes_are_bounded_and_removing_one_makes_room()
    {
        _volumes.MaxVolumes = 2;
        Assert.That(
            (_volumes.Driver.Create("aa", Quota("0.5")), _volumes.Driver.Create("bb", Quota("0.5"))),
            Is.EqualTo(((string?)null, (string?)null))
        );
        Assert.That(
            _volumes.Driver.Create("cc", Quota("0.5")),
            Does.StartWith(
                "there are 2 volumes with a quota, as many as this machine allows (maxVolumes in the policy)"
            )
        );
        Assert.That(_volumes.Driver.Create("aa", Quota("0.5")), Is.Null, "it is there");
        _volumes.Driver.Remove("aa");
        Assert.That(_volumes.Driver.Create("cc", Quota("0.5")), Is.Null);
        _volumes.MaxVolumes = 0;
        _volumes.Restart();
        Assert.That(_volumes.Describe("cc"), Is.Not.Null, "a smaller bound takes nothing away");
    }

    [Test]
    public void The_maker_of_a_volume_is_kept_with_it()
    {
        _volumes.Makers.Expect("alices", "alice");
        _volumes.Makers.Expect("sockets", "");
        _volumes.Makers.Expect("admins", null);
        foreach (var name in (string[])["alices", "sockets", "admins", "theirs"])
            _volumes.Driver.Create(name, Quota("0.5"));
        _volumes.Restart();
        Assert.That(
            _volumes.Catalog.List().Select(volume => (volume.Name, volume.Owner)),
            Is.EqualTo(
                new[]
                {
                    ("admins", null),
                    ("alices", "alice"),
                    ("runai", null),
                    ("sockets", ""),
                    ("theirs", (string?)null),
                }
            )
        );
    }

    [Test]
    public void Of_too_many_volumes_all_are_served()
    {
        const int Many = VolumeCatalog.Ceiling + 100;
        for (var i = 0; i < Many; i++)
            File.WriteAllText(_volumes.Layout.Volume($"v{i}"), $$"""{"Name":"v{{i}}","GpuMemory":"0.5"}""");
        _volumes.Restart();
        Assert.That(_volumes.Driver.DescribeAll(), Has.Count.EqualTo(VolumeCatalog.Ceiling + 1));
        var left = Enumerable
            .Range(0, Many)
            .Select(i => $"v{i}")
            .Except(_volumes.Driver.DescribeAll().Select(volume => volume.Name))
            .First();
        Assert.That(Enumerable.Range(0, Many).All(i => _volumes.Describe($"v{i}") is not null));
        Assert.That(_volumes.Driver.DescribeAll().Select(volume => volume.Name), Does.Contain(left), "it was used");
        Assert.That(_volumes.Driver.Create("more", Quota("0.5")), Does.Contain("more than 10000 volumes"));
        _volumes.Driver.Remove(left);
        Assert.That(_volumes.Describe(left), Is.Null);
        Assert.That(_volumes.Describe("../x"), Is.Null);
    }

    [TestCase("runai-status", "all")]
    [TestCase("runai-status.alice", "alice")]
    [TestCase("runai-status.x-c3bc", "x-c3bc")]
    [TestCase("runai-status.", "")]
    public void The_status_can_only_be_read(string name, string whose)
    {
        var words = $"{name} is read, not made, mounted or removed: docker volume inspect {name}";
        Assert.That(StatusOf(name), Is.EqualTo($"report of {whose}"));
        Assert.That(_volumes.Driver.DescribeAll().Select(volume => volume.Name), Is.EqualTo(new[] { "runai" }));
        Assert.That(_volumes.Driver.Create(name, Quota("0.5")), Is.EqualTo(words));
        Assert.That(_volumes.Driver.Remove(name), Is.EqualTo(words));
        Assert.That(_volumes.Driver.FindPath(name)!.Error, Is.EqualTo(words));
        Assert.That(_volumes.Driver.MountAsync(name, new('a', 64), default).Result.Error, Is.EqualTo(words));
    }

    [TestCase("runai-Status")]
    [TestCase("RUNAI-STATUS")]
    [TestCase("runai-statu")]
    [TestCase("runai-status/")]
    [TestCase("runai-statuses")]
    public void Another_spelling_is_another_name(string name) => Assert.That(_volumes.Describe(name), Is.Null);

    /// <summary>The engine asks for a volume at each docker run too.</summary>
    [Test]
    public void A_volume_is_measured_where_somebody_looks_at_it()
    {
        Assert.That(StatusOf("runai"), Is.EqualTo("summary of runai"));
        _volumes.Looks.Note();
        Assert.That(StatusOf("runai"), Is.EqualTo("summary of runai, measured"));
        _volumes.Time.Advance(VolumeLooks.MaxAge);
        Assert.That(StatusOf("runai"), Is.EqualTo("summary of runai"));
        Assert.That(_volumes.Driver.DescribeAll()[0].Status, Is.Null, "nobody reads it in a list");
    }

    string StatusOf(string name)
    {
        using var status = _volumes.Describe(name)!.Status!.Value.Parse();
        return status.RootElement.GetString()!;
    }
}
