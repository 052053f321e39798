// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Microsoft.AspNetCore.Http;
using NUnit.Framework;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Engine;

sealed class EngineClientTests
{
    FakeEngine _engine = null!;

    [SetUp]
    public async Task SetUp() => _engine = await FakeEngine.StartAsync();

    [TearDown]
    public async Task TearDown() => await _engine.DisposeAsync();

    static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(300);

    [Test]
    public async Task An_inspect_gives_the_merged_truth()
    {
        _engine.On(
            "GET /containers/abc/json",
            """
            {"Id":"abc","Created":"2026-11-20T00:00:00.123456789Z","Driver":"overlay2","ImageManifestDescriptor":{"mediaType":"x","digest":"sha256:2","size":405},"Name":"/n","Image":"sha256:1","State":{"Status":"running","Running":true,"Pid":42,"StartedAt":"2026-11-20T00:00:00.1Z"},
             "Config":{"Image":"debian","Labels":{"gpu-memory":"0.5"},"Env":["A=b"],"User":"1"},
             "HostConfig":{"DeviceRequests":[{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}],"Devices":null,"CapAdd":null},
             "Mounts":[{"Type":"volume","Name":"runai","Source":"/wrong","Destination":"/runai","Driver":"runai/gpu-memory:latest","Mode":"z","RW":true,"Propagation":""}]}
            """
        );
        using var client = _engine.Client();
        var container = (await client.InspectContainerAsync("abc", default))!;
        Assert.That(
            container.State,
            Is.EqualTo(
                new ContainerState
                {
                    Status = "running",
                    Running = true,
                    Pid = 42,
                    StartedAt = "2026-11-20T00:00:00.1Z",
                }
            )
        );
        Assert.That(
            (container.Created, container.Driver, container.ImageManifestDescriptor?.Digest),
            Is.EqualTo(("2026-11-20T00:00:00.123456789Z", "overlay2", "sha256:2"))
        );
        Assert.That(container.Config.Labels!["gpu-memory"], Is.EqualTo("0.5"));
        Assert.That(container.HostConfig.DeviceRequests![0].Count, Is.EqualTo(-1));
        Assert.That(
            container.Mounts,
            Is.EqualTo(
                new[]
                {
                    new MountPoint
                    {
                        Type = "volume",
                        Name = "runai",
                        Destination = "/runai",
                        Driver = "runai/gpu-memory:latest",
                        Source = "/wrong",
                        Rw = true,
                    },
                }
            )
        );
    }

    [Test]
    public async Task A_network_has_a_name()
    {
        _engine.On("GET /networks/7yv", """{"Name":"host","Id":"7yv0","Scope":"swarm","Driver":"host"}""");
        using var client = _engine.Client();
        Assert.That(
            (await client.NetworkNameAsync("7yv", default), await client.NetworkNameAsync("gone", default)),
            Is.EqualTo(("host", (string?)null))
        );
    }

    [TestCase(
        """{"ID":"x","ProcessConfig":{"tty":false,"entrypoint":"sh","arguments":[],"privileged":true},"ContainerID":"c"}""",
        true
    )]
    [TestCase("""{"ID":"x","ProcessConfig":{"privileged":false,"user":"1000"},"ContainerID":"c"}""", false)]
    [TestCase("""{"ID":"x","ProcessConfig":{"user":"1000"},"ContainerID":"c"}""", null)]
    public async Task An_exec_says_its_container_and_privilege(string json, bool? privileged)
    {
        _engine.On("GET /exec/x/json", json);
        using var client = _engine.Client();
        Assert.That(
            await client.InspectExecAsync("x", default),
            Is.EqualTo(new ExecInspect { ContainerId = "c", ProcessConfig = new(privileged) })
        );
        Assert.That(await client.InspectExecAsync("none", default), Is.Null);
    }

    /// <summary>Names in networks, and execs that were made: both can be given to a container while it runs.</summary>
    [Test]
    public async Task A_container_that_others_made_grow_is_read()
    {
        var megabytes = new string('x', 12 << 20);
        _engine.On(
            "GET /containers/grown/json",
            $$"""{"Id":"grown","ExecIDs":["{{megabytes}}"],"State":{"Running":true},"NetworkSettings":{"Networks":{"n":{"Aliases":["{{megabytes}}","\"},"],"DriverOpts":{"a":"b"} } } },"HostConfig":{"Privileged":true} }"""
        );
        using var client = _engine.Client();
        var container = (await client.InspectContainerAsync("grown", default))!;
        Assert.That(
            (container.Id, container.State.Running, container.HostConfig.Privileged),
            Is.EqualTo(("grown", true, true))
        );
    }

    /// <summary>Of what counts, 8 MiB; of all of it, 256 MiB.</summary>
    [Test]
    public async Task A_container_too_long_still_has_its_state()
    {
        var filler = new string('x', 1000);
        string Text(string more) =>
            $$"""{"Id":"big","Created":"then","State":{"Status":"created"},"HostConfig":{"AutoRemove":true},{{more}}}""";
        _engine.On("GET /containers/fits/json", Text("\"Name\":\"" + new string('y', 800) + "\""));
        _engine.On("GET /containers/big/json", Text("\"Name\":\"" + filler + "\""));
        _engine.On("GET /containers/vast/json", Text("\"Other\":\"" + filler + filler + "\""));
        using var client = _engine.Client(options => options with { MaxAnswerBytes = 1000, MaxSkimmedBytes = 2000 });
        Assert.That((await client.InspectContainerAsync("fits", default))!.Name, Has.Length.EqualTo(800));
        Assert.That((await client.GlanceAtContainerAsync("big", default))!.HostConfig.AutoRemove);
        foreach (var name in (string[])["big", "vast"])
            Assert.That(
                Assert.ThrowsAsync<EngineException>(() => client.InspectContainerAsync(name, default))!.IsTooLong,
                name
            );
    }

    [Test]
    public async Task Members_are_selected_from_any_chunks()
    {
        const string Text =
            """ { "a" : {"x":[1,{"b":"}"}]} , "drop":"\\\"},\"a\":", "b":[ "]" , {} ], "n":-1.5e3 ,"c":null,"drop2" : [[{"a":1}]],"":{}, "b2":true } """;
        foreach (var size in (int[])[1, 2, 3, 5, 7, 1000])
        {
            using var selected = new SelectedMembers(
                new MemoryStream(Encoding.UTF8.GetBytes(Text)),
                new HashSet<string> { "a", "b", "c" }
            );
            using var all = new MemoryStream();
            var buffer = new byte[size];
            while (await selected.ReadAsync(buffer) is > 0 and var read)
                all.Write(buffer, 0, read);
            Assert.That(
                Encoding.UTF8.GetString(all.ToArray()).Replace(" ", "", StringComparison.Ordinal),
                Is.EqualTo("""{"a":{"x":[1,{"b":"}"}]},"drop":0,"b":["]",{}],"n":0,"c":null,"drop2":0,"":0,"b2":0}"""),
                $"{size} bytes a time"
            );
        }
    }

    [Test]
    public async Task A_service_has_a_previous_specification()
    {
        _engine.On(
            "GET /services/web",
            """{"ID":"x","Version":{"Index":1234567890123},"Spec":{"Name":"web"},"PreviousSpec":{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"ſ"}}}}"""
        );
        _engine.On("GET /services/new", """{"ID":"y","Version":{"Index":3},"Spec":{"Name":"new"}}""");
        using var client = _engine.Client();
        var (web, fresh) = (
            (await client.PreviousServiceAsync("web", default))!,
            (await client.PreviousServiceAsync("new", default))!
        );
        Assert.That(
            (web.Version, Encoding.UTF8.GetString(web.Spec!)),
            Is.EqualTo((1234567890123ul, """{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"ſ"}}}"""))
                .Or.EqualTo((1234567890123ul, """{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"\u017F"}}}"""))
        );
        Assert.That(
            (fresh.Version, fresh.Spec, await client.PreviousServiceAsync("gone", default)),
            Is.EqualTo((3ul, (byte[]?)null, (PreviousService?)null))
        );
    }

    [Test]
    public async Task A_volume_lookup_waits_for_no_missing_driver()
    {
        _engine.On(
            "GET /volumes",
            """{"Volumes":[{"Name":"runai.1","Driver":"local"},{"Name":"runai","Driver":"runai/gpu-memory:latest"}],"Warnings":null}"""
        );
        using var client = _engine.Client();
        Assert.That(await client.VolumeDriverAsync("runai", default), Is.EqualTo("runai/gpu-memory:latest"));
        Assert.That(
            Uri.UnescapeDataString(_engine.Calls.Last()),
            Does.EndWith("""/volumes?filters={"name":{"^runai$":true}}""")
        );
        Assert.That(await client.VolumeDriverAsync("gone.x", default), Is.Empty);
        Assert.That(
            Uri.UnescapeDataString(_engine.Calls.Last()),
            Does.EndWith("""/volumes?filters={"name":{"^gone[.]x$":true}}""")
        );
        _engine.On("GET /volumes", """{"Volumes":[],"Warnings":["a driver did not answer"]}""");
        Assert.That(await client.VolumeDriverAsync("gone", default), Is.Null);
    }

    [Test]
    public async Task An_inspect_names_host_paths_of_local_volumes()
    {
        _engine.On(
            "GET /containers/abc/json",
            """
            {"Id":"abc","Mounts":[{"Type":"volume","Name":"devices","Destination":"/x","Driver":"local"},{"Type":"volume","Name":"plain","Destination":"/y","Driver":"local"},
                                  {"Type":"volume","Name":"runai","Destination":"/runai","Driver":"runai/gpu-memory:latest"}]}
            """
        );
        _engine.On(
            "GET /volumes/devices",
            """{"Name":"devices","Driver":"local","Options":{"type":"none","o":"bind","device":"/dev"}}"""
        );
        _engine.On("GET /volumes/plain", """{"Name":"plain","Driver":"local","Options":null}""");
        using var client = _engine.Client();
        var container = (await client.InspectContainerAsync("abc", default))!;
        Assert.That(
            container.Mounts.Select(m => m.HostPaths),
            Is.EqualTo(new[] { (IReadOnlyList<string>)["/dev"], null, null })
        );
        Assert.That(_engine.Calls, Has.None.Contains("runai"));
    }

    [TestCase("none", "/dev", "bind", "/dev")]
    [TestCase("", "dev", "rbind,ro", "/dev")]
    [TestCase("nfs", "/dev", "bind", "/dev")]
    [TestCase("ext4", "/dev/sda1", "", "/dev/sda1")]
    [TestCase("overlay", "overlay", "lowerdir=/dev/dri:/dev", "type=overlay /overlay /dev/dri /dev")]
    [TestCase("overlay", "overlay", "lowerdir=dev/dri:./dev", "type=overlay /overlay /dev/dri /./dev")]
    [TestCase(
        "overlay",
        "overlay",
        "lowerdir=/home:\\/dev,upperdir=/home/u,workdir=/home/w",
        "type=overlay /overlay /home / /home/u /home/w"
    )]
    [TestCase("tmpfs", "tmpfs", "size=100m,mode=0700,uid=1000", "")]
    [TestCase("nfs", ":/export", "addr=10.0.0.1,mountproto=tcp,fsc=dev", "")]
    [TestCase("devtmpfs", "", "", "type=devtmpfs /dev")]
    [TestCase("nfs", ":/export", "addr=10.0.0.1,rw", "")]
    [TestCase("cifs", "//server/share", "username=x", "")]
    [TestCase("tmpfs", "tmpfs", "size=100m", "")]
    public void Options_of_local_volumes_name_host_paths(string type, string device, string o, string paths) =>
        Assert.That(
            string.Join(
                ' ',
                LocalVolume.HostPaths(
                    new Dictionary<string, string>
                    {
                        ["type"] = type,
                        ["device"] = device,
                        ["o"] = o,
                    }
                )
            ),
            Is.EqualTo(paths)
        );

    [Test]
    public async Task A_caller_that_waits_holds_up_no_other()
    {
        _engine.On("GET /info", """{"DefaultRuntime":"x"}""");
        using var client = _engine.Client();
        using var waits = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        var waiting = Task.Run(async () =>
        {
            await client.InfoAsync(default);
            waits.Set();
            go.Wait();
        });
        try
        {
            Assert.That(waits.Wait(TimeSpan.FromSeconds(30)));
            Assert.That((await client.InfoAsync(default)).DefaultRuntime, Is.EqualTo("x"));
        }
        finally
        {
            go.Set();
            await waiting;
        }
    }

    [Test]
    public async Task The_hosts_namespaces_through_others_are_the_hosts()
    {
        _engine.On(
            "GET /containers/abc/json",
            """{"Id":"abc","HostConfig":{"PidMode":"container:def","IpcMode":"container:def","NetworkMode":"container:gone"}}"""
        );
        _engine.On(
            "GET /containers/def/json",
            """{"Id":"def","HostConfig":{"PidMode":"container:ghi","IpcMode":"shareable"}}"""
        );
        _engine.On("GET /containers/ghi/json", """{"Id":"ghi","HostConfig":{"PidMode":"host"}}""");
        using var client = _engine.Client();
        var host = (await client.InspectContainerAsync("abc", CancellationToken.None))!.HostConfig;
        Assert.That(
            (host.PidMode, host.IpcMode, host.NetworkMode),
            Is.EqualTo(("host", "shareable", "container:gone"))
        );
    }

    [Test]
    public async Task A_circle_of_shared_namespaces_ends_the_search()
    {
        _engine.On("GET /containers/abc/json", """{"Id":"abc","HostConfig":{"PidMode":"container:abc"}}""");
        using var client = _engine.Client();
        Assert.That(
            (await client.InspectContainerAsync("abc", CancellationToken.None))!.HostConfig.PidMode,
            Is.EqualTo("container:abc")
        );
    }

    [Test]
    public async Task Nulls_where_values_are_promised_become_empty()
    {
        _engine.On(
            "GET /containers/abc/json",
            """{"Id":"abc","Name":null,"State":null,"Config":null,"HostConfig":null,"Mounts":null}"""
        );
        using var client = _engine.Client();
        var container = (await client.InspectContainerAsync("abc", default))!;
        Assert.That(
            (container.Name, container.State.Pid, container.Mounts.Count, container.Config.Image),
            Is.EqualTo(("", 0, 0, ""))
        );
        Assert.That(container.HostConfig, Is.Not.Null);
    }

    [Test]
    public async Task A_setting_that_is_not_mounted_was_lost()
    {
        _engine.On(
            "GET /plugins/me/json",
            """
            {"Name":"gpu","Settings":{"Mounts":[{"Name":"run","Source":"/run"},{"Name":"etc","Source":"/srv/etc"},null,{"Name":"old","Source":"/x"}]},
             "Config":{"Mounts":[{"Name":"etc","Source":"/etc"},{"Name":"run","Source":"/run"},{"Name":"new","Source":"/new"}]}}
            """
        );
        using var client = _engine.Client();
        Assert.That(
            await client.LostSourcesAsync("me", default),
            Is.EqualTo(new[] { new LostSource("etc", "/srv/etc", "/etc") })
        );
        Assert.That(await client.LostSourcesAsync("gone", default), Is.Empty);
    }

    [Test]
    public async Task A_missing_object_is_null()
    {
        using var client = _engine.Client();
        Assert.That(await client.InspectContainerAsync("gone", default), Is.Null);
        Assert.That(await client.InspectImageAsync("gone", default), Is.Null);
        Assert.That(await client.GetArchiveAsync("gone", "/etc", 10, default), Is.Null);
        Assert.That(await client.PluginNameAsync("gone", default), Is.Null);
        Assert.That(await client.StatAsync("gone", "/etc", default), Is.Null);
        Assert.That(
            () => client.PutArchiveAsync("gone", "/etc", new byte[1], default),
            Throws.InstanceOf<EngineException>()
        );
    }

    [TestCase("1.24", "1.24")]
    [TestCase("1.41", "1.41")]
    [TestCase("1.51", "1.51")]
    [TestCase("1.60", "1.51")]
    public async Task The_newest_version_that_both_know_is_spoken(string engine, string spoken)
    {
        _engine.ApiVersion = engine;
        _engine.On("GET /info", "{}");
        using var client = _engine.Client();
        await client.InfoAsync(default);
        await client.InfoAsync(default);
        Assert.That(_engine.Calls, Is.EqualTo(new[] { "GET /_ping", $"GET /v{spoken}/info", $"GET /v{spoken}/info" }));
    }

    [TestCase("1.23")]
    [TestCase("")]
    [TestCase("new")]
    public void An_engine_too_old_is_refused(string version)
    {
        _engine.ApiVersion = version;
        using var client = _engine.Client();
        Assert.That(
            () => client.InfoAsync(default),
            Throws.InstanceOf<EngineException>().With.Message.Contains("version")
        );
    }

    [Test]
    public async Task An_older_engine_is_asked_again()
    {
        _engine.ApiVersion = "1.51";
        _engine.On("GET /info", """{"DefaultRuntime":"x"}""");
        using var client = _engine.Client();
        await client.InfoAsync(default);
        _engine.ApiVersion = "1.41";
        Assert.That((await client.InfoAsync(default)).DefaultRuntime, Is.EqualTo("x"));
        Assert.That(_engine.Calls.Last(), Is.EqualTo("GET /v1.41/info"));
    }

    [Test]
    public async Task An_engine_that_comes_back_is_found_again()
    {
        _engine.On("GET /info", "{}");
        using var client = _engine.Client();
        await client.InfoAsync(default);
        await _engine.DownAsync();
        Assert.That(
            () => client.InfoAsync(default),
            Throws.InstanceOf<EngineException>().With.Property("StatusCode").Null
        );
        _engine.ApiVersion = "1.44";
        await _engine.UpAsync();
        await client.InfoAsync(default);
        Assert.That(_engine.Calls.Last(), Is.EqualTo("GET /v1.44/info"));
    }

    [Test]
    public async Task Every_call_is_marked_as_our_own()
    {
        using var client = _engine.Client();
        await client.InspectContainerAsync("a", default);
        foreach (var headers in _engine.Headers)
            Assert.That(_engine.Own.IsOwn(headers));
        Assert.That(
            new SelfCalls().IsOwn([KeyValuePair.Create(SelfCalls.Header, _engine.Own.Secret)]),
            Is.False,
            "another process's secret"
        );
        Assert.That(_engine.Own.IsOwn([KeyValuePair.Create("x-runai-call", _engine.Own.Secret)]));
        Assert.That(_engine.Own.IsOwn([KeyValuePair.Create(SelfCalls.Header, "")]), Is.False);
        Assert.That(_engine.Own.IsOwn(null), Is.False);
    }

    [Test]
    public async Task Names_cannot_change_the_path()
    {
        using var client = _engine.Client();
        await client.InspectContainerAsync("a/b?c#d%2e é", default);
        await client.InspectImageAsync("example.org:5000/a/b:tag@sha256:1", default);
        await client.GetArchiveAsync("x", "/etc/a b&c=d", 10, default);
        Assert.That(_engine.Calls, Does.Contain("GET /v1.41/containers/a%2Fb%3Fc%23d%252e%20%C3%A9/json"));
        Assert.That(_engine.Calls, Does.Contain("GET /v1.41/images/example.org%3A5000/a/b%3Atag%40sha256%3A1/json"));
        Assert.That(_engine.Calls, Does.Contain("GET /v1.41/containers/x/archive?path=%2Fetc%2Fa%20b%26c%3Dd"));
        foreach (var name in new[] { "", ".", ".." })
            Assert.That(() => client.InspectContainerAsync(name, default), Throws.InstanceOf<EngineException>());
        Assert.That(() => client.InspectImageAsync("../containers/x", default), Throws.InstanceOf<EngineException>());
    }

    [TestCase(
        """{"name":"etc","size":4096,"mode":2147484141,"mtime":"2026-11-20T12:00:00Z","linkTarget":""}""",
        false,
        true
    )]
    [TestCase(
        """{"name":"lib","size":7,"mode":134218239,"mtime":"2026-11-20T12:00:00Z","linkTarget":"/usr/lib"}""",
        true,
        false
    )]
    [TestCase(
        """{"name":"passwd","size":900,"mode":420,"mtime":"2026-11-20T12:00:00Z","linkTarget":""}""",
        false,
        false
    )]
    public async Task A_path_is_a_directory_a_link_or_neither(string json, bool isLink, bool isDirectory)
    {
        _engine.On(
            "HEAD /containers/x/archive",
            http =>
            {
                http.Response.Headers["X-Docker-Container-Path-Stat"] = Convert.ToBase64String(
                    Encoding.UTF8.GetBytes(json)
                );
                return Task.CompletedTask;
            }
        );
        using var client = _engine.Client();
        var stat = (await client.StatAsync("x", "/a b", default))!;
        Assert.That((stat.IsLink, stat.IsDirectory), Is.EqualTo((isLink, isDirectory)));
        Assert.That(_engine.Calls.Last(), Is.EqualTo("HEAD /v1.41/containers/x/archive?path=%2Fa%20b"));
    }

    [TestCase(null)]
    [TestCase("%%%")]
    [TestCase("e30")]
    [TestCase("eyJtb2RlIjoiIn0=")]
    public void A_garbled_stat_is_a_failure_of_the_call(string? header)
    {
        _engine.On(
            "HEAD /containers/x/archive",
            http =>
            {
                if (header is not null)
                    http.Response.Headers["X-Docker-Container-Path-Stat"] = header;
                return Task.CompletedTask;
            }
        );
        using var client = _engine.Client();
        Assert.That(() => client.StatAsync("x", "/etc", default), Throws.InstanceOf<EngineException>());
    }

    [Test]
    public async Task An_archive_goes_as_a_tar()
    {
        (string? Type, string Body) came = default;
        _engine.On(
            "PUT /containers/x/archive",
            async http =>
                came = (
                    http.Request.ContentType,
                    await new StreamReader(http.Request.Body, Encoding.Latin1).ReadToEndAsync()
                )
        );
        using var client = _engine.Client();
        await client.PutArchiveAsync("x", "/etc", "a tar"u8.ToArray(), default);
        Assert.That(came, Is.EqualTo(("application/x-tar", "a tar")));
        Assert.That(_engine.Calls.Last(), Does.EndWith("/archive?path=%2Fetc"));
    }

    [Test]
    public void A_refusal_says_what_the_engine_said()
    {
        _engine.On("PUT /containers/x/archive", """{"message":"container rootfs is marked read-only"}""", 403);
        using var client = _engine.Client();
        Assert.That(
            () => client.PutArchiveAsync("x", "/etc", new byte[1], default),
            Throws
                .InstanceOf<EngineException>()
                .With.Message.Contains("marked read-only")
                .And.Property("StatusCode")
                .EqualTo(403)
        );
    }

    [Test]
    public async Task Stopping_what_is_stopped_is_fine()
    {
        _engine.On("POST /containers/x/stop", "", 304);
        using var client = _engine.Client();
        await client.StopContainerAsync("x", TimeSpan.FromSeconds(10), default);
    }

    [TestCase("{\"Id\":")]
    [TestCase("<html>")]
    [TestCase("[]")]
    public void A_garbled_answer_is_a_failure_of_the_call(string answer)
    {
        _engine.On("GET /containers/x/json", answer);
        using var client = _engine.Client();
        Assert.That(() => client.InspectContainerAsync("x", default), Throws.InstanceOf<EngineException>());
    }

    [Test]
    public async Task Running_containers_are_read_whatever_their_labels()
    {
        _engine.On(
            "GET /containers/json",
            async http =>
            {
                await http.Response.WriteAsync(
                    """[{"Id":"a","Names":["/x"],"Labels":{"Id":"no","x":"\",\"Id\":\"no\""},"Mounts":[{"Id":"no"}]},{"Labels":{"x":" """
                );
                for (var n = 0; n < 64; n++)
                    await http.Response.WriteAsync(new string('<', 100_000));
                await http.Response.WriteAsync(""" "},"Command":"Id","Id" : "b"},{"ID":"no","Id":"c"}]""" + "\n");
            }
        );
        using var client = _engine.Client(options => options with { MaxAnswerBytes = 1 << 20 });
        Assert.That(await client.ListRunningAsync(default), Is.EqualTo(new[] { "a", "b", "c" }));
        foreach (
            var (answer, count) in ((string, int)[])
                [("[]", 0), ("[{}]", 0), ("[", -1), ("{}", -1), ("<html>", -1), ("", -1), ("""[{"Id":"a"}""", -1)]
        )
        {
            _engine.On("GET /containers/json", answer);
            if (count < 0)
                Assert.That(() => client.ListRunningAsync(default), Throws.InstanceOf<EngineException>(), answer);
            else
                Assert.That(await client.ListRunningAsync(default), Has.Count.EqualTo(count), answer);
        }
    }

    [Test]
    public void A_huge_answer_is_not_read()
    {
        _engine.On(
            "GET /containers/x/archive",
            http =>
            {
                http.Response.Headers["X-Docker-Container-Path-Stat"] = Convert.ToBase64String("{}"u8);
                return http.Response.Body.WriteAsync(new byte[1001]).AsTask();
            }
        );
        _engine.On(
            "GET /containers/x/json",
            async http =>
            {
                await http.Response.WriteAsync("{\"Id\":\"");
                while (!_engine.Stopped.IsCancellationRequested)
                    await http.Response.WriteAsync(new string('x', 100_000), _engine.Stopped);
            }
        );
        using var client = _engine.Client(options => options with { MaxAnswerBytes = 1 << 20 });
        Assert.That(
            () => client.GetArchiveAsync("x", "/", 1000, default),
            Throws.InstanceOf<EngineException>().With.Message.Contains("longer than 1000")
        );
        Assert.That(async () => (await client.GetArchiveAsync("x", "/", 1001, default))!.Length, Is.EqualTo(1001));
        Assert.That(
            () => client.InspectContainerAsync("x", default),
            Throws.InstanceOf<EngineException>().With.Message.Contains("longer than")
        );
    }

    [Test]
    public void An_answer_that_does_not_come_ends_at_the_deadline()
    {
        _engine.On("GET /containers/silent/json", _ => Task.Delay(-1, _engine.Stopped));
        _engine.On(
            "GET /containers/slow/json",
            async http =>
            {
                await http.Response.WriteAsync("{");
                await http.Response.Body.FlushAsync();
                await Task.Delay(-1, _engine.Stopped);
            }
        );
        using var client = _engine.Client(options => options with { CallDeadline = Soon });
        foreach (var name in new[] { "silent", "slow" })
            Assert.That(
                () => client.InspectContainerAsync(name, default),
                Throws.InstanceOf<EngineException>().With.Message.Contains("no answer"),
                name
            );
    }

    [Test]
    public void A_cut_connection_is_a_failure_of_the_call()
    {
        _engine.On(
            "GET /containers/x/json",
            async http =>
            {
                http.Response.ContentLength = 100;
                await http.Response.WriteAsync("{");
                await http.Response.Body.FlushAsync();
                http.Abort();
            }
        );
        using var client = _engine.Client();
        Assert.That(() => client.InspectContainerAsync("x", default), Throws.InstanceOf<EngineException>());
    }

    [Test]
    public void A_cancelled_call_is_no_failure_of_the_engine()
    {
        _engine.On("GET /containers/x/json", _ => Task.Delay(-1, _engine.Stopped));
        using var client = _engine.Client();
        using var cancel = new CancellationTokenSource(Soon);
        Assert.That(
            () => client.InspectContainerAsync("x", cancel.Token),
            Throws.InstanceOf<OperationCanceledException>()
        );
    }

    [Test]
    public void Without_an_engine_the_call_fails_at_once()
    {
        using var client = new EngineClient(
            new EngineClientOptions("/nowhere/docker.sock"),
            new SelfCalls(),
            TimeProvider.System
        );
        Assert.That(() => client.InfoAsync(default), Throws.InstanceOf<EngineException>());
    }
}
