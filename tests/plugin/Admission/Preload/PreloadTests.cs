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
    public async Task The_shim_is_put_into_a_container_that_has_nothing_there()
    {
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line));
    }

    [Test]
    public async Task What_the_image_has_there_stays_and_comes_first()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = "# ours\n/usr/lib/libjemalloc.so /usr/lib/b.so";
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo("# ours\n/usr/lib/libjemalloc.so /usr/lib/b.so\n" + Line));
    }

    [Test]
    public async Task The_loader_of_Nix_is_served_where_the_container_has_its_programs()
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
    public async Task It_is_served_where_a_mount_may_bring_them()
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
    public async Task A_file_of_Nix_that_was_emptied_is_written_again()
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
    public async Task An_image_whose_etc_is_closed_to_somebody_is_refused(int mode)
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
    public async Task A_closed_etc_is_refused_too_where_the_container_mounts_the_file()
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
    public async Task A_target_below_a_folder_that_is_closed_to_somebody_is_refused()
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
    public async Task A_link_of_the_image_that_leads_below_such_a_folder_is_refused(
        string place,
        string link,
        string words
    )
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
    public async Task A_container_whose_environment_names_the_shim_gets_the_file_all_the_same()
    {
        Assert.That(await EnsureAsync(ByEnvironment(Container())), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line), "env -i and sudo take a variable away");
    }

    [Test]
    public async Task Where_the_file_cannot_be_the_environment_that_names_the_shim_is_enough()
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
    public async Task Nothing_is_written_into_a_mount_of_somebody_else(string target)
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
    public async Task A_file_that_only_root_can_read_is_written_again()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = Line;
        _engine.Modes["/etc/ld.so.preload"] = UnixFileMode.UserRead | UnixFileMode.OtherRead;
        await EnsureAsync(Container("exited"));
        Assert.That(_engine.Calls, Has.Some.StartsWith("put"));
    }

    [Test]
    public async Task Who_asks_last_has_the_time_of_his_own_and_what_is_done_by_then()
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
    public async Task A_container_that_never_ran_is_served_once()
    {
        await EnsureAsync();
        _engine.Calls.Clear();
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(_engine.Calls, Is.Empty);
    }

    [Test]
    public async Task Two_who_ask_at_once_are_served_by_one_upload()
    {
        Assert.That(await Task.WhenAll(EnsureAsync(), EnsureAsync(), EnsureAsync(Container("exited"))), Is.All.Null);
        Assert.That(_engine.Calls.Count(c => c.StartsWith("put", StringComparison.Ordinal)), Is.EqualTo(1));
    }

    [Test]
    public async Task A_container_that_ran_is_looked_at_again_and_served_again()
    {
        await EnsureAsync();
        _engine.Files[(Id, "/etc/ld.so.preload")] = "";
        Assert.That(await EnsureAsync(Container("exited")), Is.Null);
        Assert.That(Preload, Is.EqualTo(Line));
    }

    [Test]
    public async Task A_container_into_which_files_were_put_is_looked_at_again()
    {
        await EnsureAsync();
        _engine.Files[(Id, "/etc/ld.so.preload")] = "# nothing\n";
        _injector.InvalidateAll();
        await EnsureAsync();
        Assert.That(Preload, Is.EqualTo("# nothing\n" + Line));
    }

    [Test]
    public async Task A_preload_that_is_in_place_is_not_written_again()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = Line;
        await EnsureAsync(Container("exited"));
        Assert.That(_engine.Calls, Has.None.StartsWith("put"));
    }

    [Test]
    public async Task The_shim_of_an_earlier_life_of_the_image_is_replaced()
    {
        _engine.Files[(Id, "/etc/ld.so.preload")] = "/a.so\n/runai/librunai.so:/b.so\n";
        await EnsureAsync(Container(target: "/gpu"));
        Assert.That(Preload, Is.EqualTo("/a.so\n/b.so\n/gpu/librunai.so\n"));
    }

    [TestCase("-> /opt/preload", "/opt/preload")]
    [TestCase("-> ../opt/./preload", "/opt/preload")]
    [TestCase("-> other", "/etc/other")]
    public async Task A_link_is_followed_and_replaced_by_a_file(string link, string target)
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
    public async Task What_is_no_file_in_its_place_is_refused(string what)
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
    public async Task A_failure_that_people_can_mend_is_told_with_what_mends_it(string failure, string way)
    {
        _engine.Failure = new(failure, 500);
        Assert.That(await EnsureAsync(), Does.Contain(failure).And.EndsWith(way));
    }

    [Test]
    public async Task A_failure_of_the_engine_is_told_and_not_remembered()
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
    public async Task Nothing_is_done_for_containers_that_do_not_need_it()
    {
        await EnsureAsync(new() { Id = Id });
        Assert.That(_engine.Calls, Is.Empty);
    }

    [Test]
    public async Task Where_there_are_32_bit_programs_their_loader_is_kept_quiet()
    {
        _engine.Files[(Id, Loader32)] = "a loader";
        Assert.That(await EnsureAsync(), Is.Null);
        Assert.That(Preload, Is.EqualTo("/runai/quiet/$PLATFORM\n" + Line));
    }

    [Test]
    public async Task The_quiet_libraries_know_one_target_only()
    {
        _engine.Files[(Id, Loader32)] = "a loader";
        await EnsureAsync(Container(target: "/gpu"));
        Assert.That(Preload, Is.EqualTo("/gpu/librunai.so\n"));
        Assert.That(_engine.Calls, Has.None.Contains(Loader32));
    }

    [Test]
    public async Task A_container_that_lost_its_32_bit_programs_loses_the_line_for_them()
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
    public bool The_shim_is_in_the_text_afterwards_and_only_once(string? text, bool quiet) =>
        PreloadFile.WithShim(text ?? "", "/runai/librunai.so", quiet) is not { } first
        || PreloadFile.WithShim(first, "/runai/librunai.so", quiet) is null;

    [FsCheck.NUnit.Property(MaxTest = 1000)]
    public bool Any_bytes_for_a_tar_are_refused_with_no_other_exception_than_expected(byte[]? tar)
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
