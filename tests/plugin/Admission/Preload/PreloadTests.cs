// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Preload;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Admission.Preload;

sealed class PreloadTests
{
    const string Id = "0123456789abcdef";
    const string Line = "/runai/librunai.so\n";
    const string Loader32 = "/lib/ld-linux.so.2";
    readonly FakeEngine _engine = new();
    readonly SelfCalls _own = new();
    readonly FakeTimeProvider _time = new();
    PreloadInjector _injector = null!;

    [SetUp]
    public void Start()
    {
        _engine.Files.Clear();
        _engine.Calls.Clear();
        _engine.Modes.Clear();
        _engine.Failure = null;
        _engine.Hangs = false;
        _engine.OnCall = null;
        _engine.HasEtc = true;
        _own.NoteAuthorizationCall();
        _injector = new(_engine, new(_own, TimeProvider.System), _time, NullLogger<PreloadInjector>.Instance);
    }

    static ContainerInspect Container(string status = "created", string target = "/runai") =>
        new()
        {
            Id = Id,
            State = new() { Status = status },
            Mounts =
            [
                new()
                {
                    Type = "volume",
                    Name = "half",
                    Driver = "runai/gpu-memory:latest",
                    Destination = target,
                },
            ],
        };

    Task<string?> EnsureAsync(ContainerInspect? container = null) =>
        EnsureAsync(container ?? Container(), CancellationToken.None);

    Task<string?> EnsureAsync(ContainerInspect container, CancellationToken cancel) =>
        _injector.EnsureAsync(container, Parsed.Spec(container), cancel);

    string Preload => _engine.Files[(Id, "/etc/ld.so.preload")];

    [Test]
    public async Task A_container_without_a_preload_gets_the_shim()
    {
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line));
    }

    [Test]
    public async Task The_preload_of_the_image_comes_first()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = "# ours\n/usr/lib/libjemalloc.so /usr/lib/b.so";
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo("# ours\n/usr/lib/libjemalloc.so /usr/lib/b.so\n" + Line));
    }

    [Test]
    public async Task Containers_with_Nix_get_its_file_too()
    {
        _engine.Files[(Id, "/nix/store/abc-glibc/lib/ld-linux-x86-64.so.2")] = "the loader";
        _engine.Files[(Id, "/etc/ld-nix.so.preload")] = "/nix/store/jemalloc.so\n";
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(
            (Preload, _engine.Files[(Id, "/etc/ld-nix.so.preload")]),
            Is.EqualTo((Line, "/nix/store/jemalloc.so\n" + Line))
        );
        Assert.That(_engine.Calls.Count(c => c.StartsWith("put", StringComparison.Ordinal)), Is.EqualTo(1));
    }

    [Test]
    public async Task Mounts_that_may_bring_Nix_get_its_file()
    {
        Assert.That(
            await EnsureAsync(
                Container() with
                {
                    Mounts =
                    [
                        .. Container().Mounts,
                        new()
                        {
                            Type = "volume",
                            Name = "nix",
                            Driver = "local",
                            Destination = "/nix",
                        },
                    ],
                }
            ),
            Is.Null
        );
        Assert.That(_engine.Files[(Id, "/etc/ld-nix.so.preload")], Is.EqualTo(Line));
    }

    [Test]
    public async Task An_emptied_file_of_Nix_is_written_again()
    {
        _engine.Files[(Id, "/nix/store/x")] = "a program";
        await EnsureAsync();
        _engine.Files[(Id, "/etc/ld-nix.so.preload")] = "";
        await EnsureAsync(Container("exited"));
        Assert.That(_engine.Files[(Id, "/etc/ld-nix.so.preload")], Is.EqualTo(Line));
    }

    [Test]
    public async Task Other_containers_get_no_file_of_Nix()
    {
        await EnsureAsync();
        Assert.That(_engine.Files.Keys, Has.None.EqualTo((Id, "/etc/ld-nix.so.preload")));
    }

    /// <summary>Without a group of its own a user's is root's, and root may run without its capabilities.</summary>
    [TestCase(0b111_101_000)]
    [TestCase(0b111_000_101)]
    [TestCase(0b110_101_101)]
    public async Task An_image_with_a_closed_etc_is_refused(int mode)
    {
        _engine.Modes["/etc"] = (UnixFileMode)mode;
        for (var time = 0; time < 2; time++)
            Assert.That(
                await EnsureAsync(),
                Is.EqualTo(
                    "/etc/ld.so.preload of the container would not reach the programs of every user, since "
                        + "/etc is closed to its owner, its group or others: "
                        + "RUN chmod a+x /etc in the image, or add -e LD_PRELOAD=/runai/librunai.so, which env "
                        + "-i and sudo take away"
                )
            );
        Assert.That(_engine.Calls, Has.None.StartsWith("put"));
    }

    [Test]
    public async Task A_closed_etc_is_refused_even_with_a_mount()
    {
        _engine.Modes["/etc"] = (UnixFileMode)0b111_000_000;
        Assert.That(
            await EnsureAsync(ByMount),
            Does.Contain("since /etc is closed")
                .And.EndsWith("or add -e LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away")
        );
        _engine.Modes.Clear();
        Assert.That(await EnsureAsync(ByMount), Is.Null);
        Assert.That(_engine.Files, Is.Empty);
    }

    [Test]
    public async Task A_target_below_a_closed_folder_is_refused()
    {
        _engine.Files[(Id, "/root/x")] = "something";
        _engine.Modes["/root"] = (UnixFileMode)0b111_000_000;
        Assert.That(
            await EnsureAsync(Container(target: "/root/quota/here")),
            Does.EndWith("since /root is closed to its owner, its group or others: add -v half:/runai in its place")
        );
        Assert.That(
            await EnsureAsync(ByEnvironment(Container(target: "/root/quota"), "/root/quota/librunai.so")),
            Does.EndWith("add -v half:/runai in its place")
        );
        Assert.That(await EnsureAsync(Container(target: "/opt/quota")), Is.Null);
    }

    [TestCase(
        "/runai",
        "-> /root/quota",
        "since /root is closed to its owner, its group or others: add -v half:/opt/runai in its place"
    )]
    [TestCase(
        "/etc",
        "-> /root/etc",
        "since /root is closed to its owner, its group or others: RUN chmod a+x /root in the image, or add -e "
            + "LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
    )]
    public async Task A_link_below_a_closed_folder_is_refused(string place, string link, string words)
    {
        _engine.Files[(Id, place)] = link;
        _engine.Files[(Id, "/root/etc/x")] = "something";
        _engine.Modes["/root"] = (UnixFileMode)0b111_000_000;
        Assert.That(await EnsureAsync(), Does.EndWith(words));
        _engine.Modes.Clear();
        Assert.That(await EnsureAsync(), Is.Null);
    }

    static ContainerInspect ByMount =>
        Container() with
        {
            Mounts = [.. Container().Mounts, Container().Mounts[0] with { Destination = "/etc/ld.so.preload" }],
            HostConfig = new()
            {
                Mounts =
                [
                    new()
                    {
                        Type = "volume",
                        Target = "/etc/ld.so.preload",
                        VolumeOptions = new() { Subpath = "ld.so.preload" },
                    },
                ],
            },
        };

    static ContainerInspect ByEnvironment(ContainerInspect container, string shim = "/runai/librunai.so") =>
        container with
        {
            Config = new() { Env = [$"LD_PRELOAD={shim}"] },
        };

    [Test]
    public async Task LD_PRELOAD_does_not_replace_the_file()
    {
        Assert.That(await EnsureAsync(ByEnvironment(Container())), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line), "env -i and sudo take a variable away");
    }

    [Test]
    public async Task LD_PRELOAD_suffices_where_no_file_can_be()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = "directory";
        Assert.That(await EnsureAsync(ByEnvironment(Container())), Is.Null);
        _engine.Files.Clear();
        _engine.Modes["/etc"] = (UnixFileMode)0b111_101_000;
        Assert.That(await EnsureAsync(ByEnvironment(Container("exited"))), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line), "for those whom the folder is open to");
        _engine.Failure = new("mount callback failed: path escapes from parent", 500);
        Assert.That(await EnsureAsync(ByEnvironment(Container("exited"))), Is.Null);
        _engine.Failure = new("no answer from the engine in time");
        Assert.That(
            await EnsureAsync(ByEnvironment(Container("exited"))),
            Does.Contain("no answer from the engine in time")
        );
    }

    [TestCase("/etc")]
    [TestCase("/etc/ld.so.preload")]
    public async Task Nothing_is_written_into_other_mounts(string target)
    {
        Assert.That(
            await EnsureAsync(
                ByEnvironment(
                    Container() with
                    {
                        Mounts =
                        [
                            .. Container().Mounts,
                            new()
                            {
                                Type = "bind",
                                Source = "/srv",
                                Destination = target,
                            },
                        ],
                    }
                )
            ),
            Is.Null
        );
        Assert.That(_engine.Calls, Has.None.StartsWith("put"));
    }

    [Test]
    public async Task A_file_readable_by_root_alone_is_written_again()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = Line;
        _engine.Modes["/etc/ld.so.preload"] = UnixFileMode.UserRead | UnixFileMode.OtherRead;
        await EnsureAsync(Container("exited"));
        Assert.That(_engine.Calls, Has.Some.StartsWith("put"));
    }

    [Test]
    public async Task Each_caller_has_its_own_deadline()
    {
        _engine.Hangs = true;
        var called = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _engine.OnCall = _ => called.TrySetResult();
        using var first = new CancellationTokenSource();
        var early = EnsureAsync(Container(), first.Token);
        var late = EnsureAsync();
        await called.Task;
        await first.CancelAsync();
        Assert.That(
            await early,
            Is.EqualTo(
                "/etc/ld.so.preload is not in the container yet, since the engine is slow to take files now: try again"
            )
        );
        _time.Advance(TimeSpan.FromSeconds(29));
        Assert.That(late.IsCompleted, Is.False, "the work goes on");
        _engine.Hangs = false;
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.That(await late, Is.Null, "who joined it when its time ended begins it again");
        Assert.That(Preload, Is.EqualTo(Line));
    }

    [Test]
    public async Task A_container_that_never_ran_is_written_once()
    {
        await EnsureAsync();
        _engine.Calls.Clear();
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(_engine.Calls, Is.Empty);
    }

    [Test]
    public async Task Two_simultaneous_calls_share_one_upload()
    {
        Assert.That(await Task.WhenAll(EnsureAsync(), EnsureAsync(), EnsureAsync(Container("exited"))), Is.All.Null);
        Assert.That(_engine.Calls.Count(c => c.StartsWith("put", StringComparison.Ordinal)), Is.EqualTo(1));
    }

    [Test]
    public async Task A_container_that_ran_is_checked_again()
    {
        await EnsureAsync();
        _engine.Files[(Id, "/etc/ld.so.preload")] = "";
        Assert.That(await EnsureAsync(Container("exited")), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line));
    }

    [Test]
    public async Task An_upload_makes_a_container_be_checked_again()
    {
        await EnsureAsync();
        _engine.Files[(Id, "/etc/ld.so.preload")] = "# nothing\n";
        _injector.InvalidateAll();
        await EnsureAsync();
        Assert.That(Preload, Is.EqualTo("# nothing\n" + Line));
    }

    [Test]
    public async Task A_preload_in_place_is_not_written_again()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = Line;
        await EnsureAsync(Container("exited"));
        Assert.That(_engine.Calls, Has.None.StartsWith("put"));
    }

    [Test]
    public async Task The_shim_at_an_earlier_target_is_replaced()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = "/a.so\n/runai/librunai.so:/b.so\n";
        await EnsureAsync(Container(target: "/gpu"));
        Assert.That(Preload, Is.EqualTo("/a.so\n/b.so\n/gpu/librunai.so\n"));
    }

    [TestCase("-> /opt/preload", "/opt/preload")]
    [TestCase("-> ../opt/./preload", "/opt/preload")]
    [TestCase("-> other", "/etc/other")]
    public async Task A_link_is_replaced_by_a_file(string link, string target)
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = link;
        _engine.Files[(Id, target)] = "/a.so\n" + Line;
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo("/a.so\n" + Line));
    }

    [Test]
    public async Task A_link_to_nowhere_is_replaced()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = "-> /nowhere";
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line));
    }

    [Test]
    public async Task Links_in_a_circle_are_refused()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = "-> /etc/ld.so.preload";
        Assert.That(
            await EnsureAsync(),
            Is.EqualTo(
                "/etc/ld.so.preload of the container is a link to a link, and so on: remove it, or add -e "
                    + "LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
            )
        );
    }

    [TestCase("directory")]
    [TestCase("fifo")]
    public async Task Anything_but_a_file_in_its_place_is_refused(string what)
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = what;
        Assert.That(
            await EnsureAsync(),
            Is.EqualTo(
                "/etc/ld.so.preload of the container is no file: remove it, or add -e "
                    + "LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
            )
        );
    }

    [Test]
    public async Task A_file_beyond_the_bound_is_refused()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = new string('x', 100_000);
        Assert.That(
            await EnsureAsync(),
            Is.EqualTo(
                "/etc/ld.so.preload of the container is larger than 64 KiB: remove it, or add -e "
                    + "LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
            )
        );
    }

    [Test]
    public async Task An_image_without_etc_gets_one()
    {
        _engine.HasEtc = false;
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line));
    }

    [TestCase(
        "mkdirat runai: file exists",
        "; the image seems to have a file at /runai, where the volume belongs: mount it elsewhere, add -v "
            + "half:/opt/runai in its place"
    )]
    [TestCase(
        "mkdir runai: not a directory",
        "; the image seems to have a file at /runai, where the volume belongs: mount it elsewhere, add -v "
            + "half:/opt/runai in its place"
    )]
    [TestCase(
        "mkdirat runai: statat runai: path escapes from parent",
        "; the target of a mount leads through a link of the image: mount it where none does, or add --mount "
            + "type=volume,src=half,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload (Docker 26 and newer), or -e "
            + "LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
    )]
    [TestCase(
        "write /etc/ld.so.preload: no space left on device",
        "; the disk of the engine's data folder is full: make room there (docker system df shows what takes it)"
    )]
    public async Task A_failure_is_reported_with_its_remedy(string failure, string way)
    {
        _engine.Failure = new(failure, 500);
        Assert.That(await EnsureAsync(), Does.Contain(failure).And.EndsWith(way));
    }

    [Test]
    public async Task A_failure_of_the_engine_is_not_remembered()
    {
        _engine.Failure = new("container rootfs is marked read-only", 500);
        Assert.That(
            await EnsureAsync(),
            Does.Contain("container rootfs is marked read-only")
                .And.Contain(
                    "; add --mount type=volume,src=half,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload "
                        + "(Docker 26 and newer), or -e LD_PRELOAD=/runai/librunai.so"
                )
        );
        _engine.Failure = null;
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line));
    }

    [Test]
    public async Task Containers_without_a_quota_are_left_alone()
    {
        await EnsureAsync(new() { Id = Id });
        Assert.That(_engine.Calls, Is.Empty);
    }

    [Test]
    public async Task With_32_bit_programs_the_quiet_line_is_added()
    {
        _engine.Files[(Id, Loader32)] = "a loader";
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo("/runai/quiet/$PLATFORM\n" + Line));
    }

    [Test]
    public async Task The_quiet_line_works_at_one_target_only()
    {
        _engine.Files[(Id, Loader32)] = "a loader";
        await EnsureAsync(Container(target: "/gpu"));
        Assert.That(Preload, Is.EqualTo("/gpu/librunai.so\n"));
        Assert.That(_engine.Calls, Has.None.Contains(Loader32));
    }

    [Test]
    public async Task Without_32_bit_programs_the_quiet_line_goes()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = "/a.so\n/runai/quiet/$PLATFORM\n" + Line;
        await EnsureAsync(Container("exited"));
        Assert.That(Preload, Is.EqualTo("/a.so\n" + Line));
    }

    [TestCase("", "/runai/quiet/$PLATFORM\n/runai/librunai.so\n")]
    [TestCase("/runai/librunai.so\n", "/runai/quiet/$PLATFORM\n/runai/librunai.so\n")]
    [TestCase("/a.so /runai/quiet/$PLATFORM\n/runai/librunai.so", null)]
    [TestCase("/runai/librunai.so /runai/quiet/$PLATFORM /a.so", "/a.so\n/runai/quiet/$PLATFORM\n/runai/librunai.so\n")]
    [TestCase("/gpu/librunai.so", "/runai/quiet/$PLATFORM\n/runai/librunai.so\n")]
    public void The_quiet_line_stands_before_the_shim(string text, string? expected) =>
        Assert.That(PreloadFile.WithShim(text, "/runai/librunai.so", quiet: true), Is.EqualTo(expected));

    [TestCase("", "/runai/librunai.so\n")]
    [TestCase("\n\n", "/runai/librunai.so\n")]
    [TestCase("/runai/librunai.so", null)]
    [TestCase("/a.so:/runai/librunai.so /b.so # end", null)]
    [TestCase("# /runai/librunai.so", "# /runai/librunai.so\n/runai/librunai.so\n")]
    [TestCase("/x/runai/librunai.so", "/runai/librunai.so\n")]
    [TestCase("/runai/librunai.so.1", "/runai/librunai.so.1\n/runai/librunai.so\n")]
    [TestCase("/runai/quiet/$PLATFORM\n/runai/librunai.so", "/runai/librunai.so\n")]
    [TestCase("/a.so\r\n/b.so\r\n", "/a.so\r\n/b.so\r\n/runai/librunai.so\n")]
    [TestCase("/runai/librunai.so\r\n", "/runai/librunai.so\n")]
    [TestCase("/a.so\0/runai/librunai.so\n", "/a.so\n/runai/librunai.so\n")]
    [TestCase("\0\n/runai/librunai.so\n", "/runai/librunai.so\n")]
    [TestCase("/runai/librunai.so\n\0", "/runai/librunai.so\n")]
    [TestCase("# \0 a comment\n/a.so\n", "/a.so\n/runai/librunai.so\n")]
    [TestCase("/a.so # \0\n/b.so\0/c.so\n/d.so", "/a.so \n/b.so\n/runai/librunai.so\n")]
    public void The_text_is_read_as_the_loader_reads_it(string text, string? expected) =>
        Assert.That(PreloadFile.WithShim(text, "/runai/librunai.so"), Is.EqualTo(expected));

    [FsCheck.NUnit.Property(MaxTest = 1000)]
    public bool Afterwards_the_text_has_the_shim_once(string? text, bool quiet) =>
        PreloadFile.WithShim(text ?? "", "/runai/librunai.so", quiet) is not { } first
        || PreloadFile.WithShim(first, "/runai/librunai.so", quiet) is null;

    [FsCheck.NUnit.Property(MaxTest = 1000)]
    public bool Any_bytes_as_a_tar_throw_only_expected_exceptions(byte[]? tar)
    {
        try
        {
            PreloadFile.Read(tar ?? []);
            return true;
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException or FormatException)
        {
            return true;
        }
    }
}
