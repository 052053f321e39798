// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Preload;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Admission.Preload;

/// <summary>A new container of an image that is known costs one upload and no reading.</summary>
sealed class ImagePreloadTests
{
    const string Preload = "/etc/ld.so.preload";
    readonly FakeEngine _engine = new();
    readonly SelfCalls _own = new();
    PreloadInjector _injector = null!;
    int _created;

    [SetUp]
    public void Start()
    {
        _engine.Files.Clear();
        _engine.Calls.Clear();
        _engine.Modes.Clear();
        _own.NoteAuthorizationCall();
        _injector = new(
            _engine,
            new(_own, TimeProvider.System),
            TimeProvider.System,
            NullLogger<PreloadInjector>.Instance
        );
        Thread.Sleep(1); // containers are created after the plugin started
    }

    /// <summary>A new container whose image has this file; the calls that it takes to serve it, without its
    /// ID.</summary>
    async Task<string[]> CreateAsync(
        string? file = null,
        Func<ContainerInspect, ContainerInspect>? change = null,
        params string[] binds
    )
    {
        var container = New(binds);
        if (file is not null)
            _engine.Files[(container.Id, Preload)] = file;
        return await ServeAsync(change?.Invoke(container) ?? container);
    }

    ContainerInspect New(params string[] binds) =>
        new()
        {
            Id = $"{++_created:d16}",
            Image = "sha256:1",
            Driver = "overlay2",
            Created = DateTimeOffset.UtcNow.ToString(
                "yyyy-MM-dd'T'HH:mm:ss.fffffff'00Z'",
                CultureInfo.InvariantCulture
            ),
            State = new() { Status = "created" },
            Mounts =
            [
                new()
                {
                    Type = "volume",
                    Name = "half",
                    Driver = "runai/gpu-memory:latest",
                    Destination = "/runai",
                },
                .. binds.Select(b => new MountPoint
                {
                    Type = "bind",
                    Source = "/x",
                    Destination = b,
                }),
            ],
        };

    static Task<string?> EnsureAsync(PreloadInjector injector, ContainerInspect container) =>
        injector.EnsureAsync(container, Parsed.Spec(container), CancellationToken.None);

    async Task<string[]> ServeAsync(ContainerInspect container)
    {
        _engine.Calls.Clear();
        Assert.That(await EnsureAsync(_injector, container), Is.Null);
        return [.. _engine.Calls.Select(c => c.Replace(container.Id + " ", "", StringComparison.Ordinal))];
    }

    string Text => _engine.Files[($"{_created:d16}", Preload)];

    static readonly string[] Put = ["put /etc"];

    [Test]
    public async Task The_second_container_of_an_image_costs_one_upload()
    {
        Assert.That(
            await CreateAsync("/a.so"),
            Is.EqualTo(
                new[]
                {
                    $"get {Preload}",
                    "stat /nix/store",
                    "stat /lib/ld-linux.so.2",
                    "stat /runai",
                    "stat /etc",
                    "put /etc",
                }
            )
        );
        Assert.That(await CreateAsync("/a.so"), Is.EqualTo(Put));
        Assert.That(Text, Is.EqualTo("/a.so\n/runai/librunai.so\n"));
    }

    [Test]
    public async Task The_next_container_with_Nix_costs_one_upload()
    {
        var first = New();
        _engine.Files[(first.Id, "/nix/store/x")] = "a program";
        _engine.Files[(first.Id, "/etc/ld-nix.so.preload")] = "/a.so\n";
        await ServeAsync(first);
        Assert.That(await CreateAsync(), Is.EqualTo(Put));
        Assert.That(
            _engine.Files[($"{_created:d16}", "/etc/ld-nix.so.preload")],
            Is.EqualTo("/a.so\n/runai/librunai.so\n")
        );
    }

    [Test]
    public async Task A_closed_etc_is_refused_without_a_call()
    {
        var first = New();
        _engine.Modes["/etc"] = (UnixFileMode)0b111_101_000;
        var refusal = await EnsureAsync(_injector, first);
        _engine.Calls.Clear();
        Assert.That(await EnsureAsync(_injector, New()), Is.EqualTo(refusal).And.Contain("/etc is closed to"));
        Assert.That(_engine.Calls, Is.Empty);
    }

    [Test]
    public async Task The_next_with_32_bit_programs_costs_one_upload()
    {
        var first = New();
        _engine.Files[(first.Id, "/lib/ld-linux.so.2")] = "-> i386-linux-gnu/ld-linux.so.2";
        await ServeAsync(first);
        Assert.That(await CreateAsync(), Is.EqualTo(Put));
        Assert.That(Text, Is.EqualTo("/runai/quiet/$PLATFORM\n/runai/librunai.so\n"));
    }

    [Test]
    public async Task The_file_of_the_image_is_no_proof()
    {
        Assert.That(await CreateAsync("/runai/librunai.so\n"), Has.None.EqualTo("put /etc"));
        Assert.That(
            await CreateAsync("/runai/librunai.so\n"),
            Is.EqualTo(Put),
            "what is known of the image is no proof that the container has it"
        );
    }

    [Test]
    public async Task Mounts_seen_to_be_elsewhere_do_not_matter()
    {
        Assert.That(
            await CreateAsync(null, null, "/data", "/home/me/work"),
            Is.SupersetOf(new[] { "stat /etc", "stat /data", "stat /home", "stat /home/me", "stat /home/me/work" })
        );
        Assert.That(await CreateAsync(null, null, "/data", "/home/me/work"), Is.EqualTo(Put));
        Assert.That(await CreateAsync(null, null, "/data"), Has.Some.StartsWith("get"), "other mounts");
    }

    [TestCase("/data", "/data/inner")]
    public async Task A_mount_over_the_file_is_read_again(params string[] binds)
    {
        await CreateAsync("/a.so", null, binds);
        Assert.That(await CreateAsync("/b.so", null, binds), Has.Some.StartsWith("get"));
        Assert.That(Text, Does.StartWith("/b.so\n"));
    }

    [TestCase("/etc", "-> /data/etc")]
    [TestCase("/data", "-> /etc")]
    [TestCase("/etc/ld.so.preload", "-> /data/preload")]
    public async Task A_link_into_a_mount_is_followed_each_time(string path, string link)
    {
        for (var i = 0; i < 2; i++)
        {
            var container = New("/data");
            _engine.Files[(container.Id, path)] = link;
            Assert.That(await ServeAsync(container), Has.Some.StartsWith("get"));
        }
    }

    [Test]
    public async Task After_an_upload_only_older_containers_are_read()
    {
        await CreateAsync("/a.so");
        var uploaded = New();
        _engine.Files[(uploaded.Id, Preload)] = "/mine.so";
        _injector.InvalidateAll();
        await ServeAsync(uploaded);
        Assert.That(Text, Is.EqualTo("/mine.so\n/runai/librunai.so\n"));
        Thread.Sleep(1);
        Assert.That(await CreateAsync("/a.so"), Is.EqualTo(Put));
        Assert.That(
            Text,
            Is.EqualTo("/a.so\n/runai/librunai.so\n"),
            "the upload went into a container, not into the image"
        );
    }

    [Test]
    public async Task A_read_during_an_upload_is_not_kept()
    {
        var container = New();
        _engine.Files[(container.Id, Preload)] = "/mine.so";
        _engine.OnCall = call =>
        {
            if (call.StartsWith("get", StringComparison.Ordinal))
                _injector.InvalidateAll();
        };
        await ServeAsync(container);
        _engine.OnCall = null;
        Thread.Sleep(1);
        Assert.That(await CreateAsync(), Has.Some.StartsWith("get"));
    }

    static IEnumerable<TestCaseData> NotNew()
    {
        TestCaseData Case(string name, Func<ContainerInspect, ContainerInspect> change) =>
            new TestCaseData(change).SetArgDisplayNames(name);
        yield return Case("it ran", c => c with { State = new() { Status = "exited" } });
        yield return Case("another image", c => c with { Image = "sha256:2" });
        yield return Case("no image", c => c with { Image = "" });
        yield return Case("older than the plugin", c => c with { Created = "2020-01-01T00:00:00Z" });
        yield return Case("of an unknown time", c => c with { Created = "" });
        yield return Case("an image of several platforms", c => c with { Driver = "overlayfs" });
        yield return Case(
            "one of several platforms",
            c => c with { Driver = "overlayfs", ImageManifestDescriptor = new("sha256:2") }
        );
        yield return Case("another target", c => c with { Mounts = [c.Mounts[0] with { Destination = "/gpu" }] });
    }

    [TestCaseSource(nameof(NotNew))]
    public async Task Any_other_container_is_read(Func<ContainerInspect, ContainerInspect> change)
    {
        await CreateAsync("/a.so");
        Assert.That(await CreateAsync("/b.so", change), Has.Some.StartsWith("get"));
        Assert.That(Text, Does.StartWith("/b.so\n"));
    }

    [Test]
    public async Task Platforms_of_one_image_are_told_apart()
    {
        ContainerInspect Of(ContainerInspect container, string platform) =>
            container with
            {
                Driver = "overlayfs",
                ImageManifestDescriptor = new(platform),
            };
        await CreateAsync("/a.so", c => Of(c, "sha256:amd64"));
        Assert.That(await CreateAsync("/b.so", c => Of(c, "sha256:386")), Has.Some.StartsWith("get"));
        Assert.That(await CreateAsync("/a.so", c => Of(c, "sha256:amd64")), Is.EqualTo(Put));
    }

    [Test]
    public async Task An_engine_that_does_not_ask_costs_a_read()
    {
        var injector = new PreloadInjector(
            _engine,
            new(new SelfCalls(), TimeProvider.System),
            TimeProvider.System,
            NullLogger<PreloadInjector>.Instance
        );
        Thread.Sleep(1);
        for (var i = 0; i < 2; i++)
        {
            _engine.Calls.Clear();
            Assert.That(await EnsureAsync(injector, New()), Is.Null);
            Assert.That(_engine.Calls, Has.Some.StartsWith("get"));
        }
    }

    [Test]
    public async Task A_long_text_is_read_again()
    {
        var text = string.Concat(Enumerable.Repeat("# a comment\n", 500));
        await CreateAsync(text);
        Assert.That(await CreateAsync(text), Has.Some.StartsWith("get"));
    }
}
