// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Admission;

sealed class AuthorizerTests : AuthorizerFixture
{
    static readonly TestCaseData[] Unidentified = [new(null, null), new("", ""), new("GET", null), new(null, "/_ping")];

    [TestCaseSource(nameof(Unidentified))]
    public async Task A_call_without_method_or_URI_is_denied(string? method, string? uri) =>
        Assert.That(
            await BeforeAsync(new() { RequestMethod = method, RequestUri = uri }),
            Is.EqualTo("the engine did not say which API call it asks about; try again")
        );

    [TestCase("GET", "/_ping")]
    [TestCase("GET", "/v1.41/containers/json?all=1")]
    [TestCase("GET", "/v1.41/containers/web/json")]
    [TestCase("POST", "/v1.41/containers/web/stop")]
    [TestCase("DELETE", "/v1.41/containers/web")]
    [TestCase("POST", "/v1.41/build/prune")]
    public async Task Unrelated_calls_pass_at_once_and_unread(string method, string uri)
    {
        Engine.Hangs = true;
        Assert.That(await BeforeAsync(Call(method, uri, "{{{")), Is.EqualTo("allowed"));
        Assert.That(
            (
                await Authorizer.AfterAsync(
                    Call(method, uri, "{{{") with
                    {
                        ResponseStatusCode = 200,
                    },
                    CancellationToken.None
                )
            ).Allow
        );
        Assert.That((Engine.Calls, Log.Lines), Is.EqualTo((Array.Empty<string>(), Array.Empty<string>())));
    }

    [Test]
    public async Task A_local_volume_can_be_a_bind_mount()
    {
        Engine.Containers[Id] = new()
        {
            Id = Id,
            Name = "/web",
            Mounts =
            [
                new()
                {
                    Type = "volume",
                    Name = "sneaky",
                    Driver = "local",
                    Destination = "/x",
                    HostPaths = ["/dev"],
                },
            ],
        };
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/web/start")),
            Is.EqualTo("allowed"),
            "without a policy"
        );
        await File.WriteAllTextAsync(
            Path.Combine(Folder, "gpu-memory.json"),
            """{"requireQuota":true,"allowBindMounts":["/home"]}"""
        );
        Services.GetRequiredService<PolicySource>().Refresh();
        Services.GetRequiredService<IGpuReservations>().KeepOnly(new HashSet<string>(), 0);
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/web/start")),
            Is.EqualTo(
                "a container with a GPU (mount of /dev) needs a quota on this machine: add -v runai:/runai "
                    + "--label gpu-memory=0.5; a mount of the host's /dev is not allowed on this machine: mount "
                    + "/home as a whole, or use a volume"
            )
        );
    }

    [Test]
    public async Task A_legal_create_is_allowed_with_one_line()
    {
        Assert.That(
            await BeforeAsync(Call("POST", "/v1.41/containers/create?name=web", Good, "alice")),
            Is.EqualTo("allowed")
        );
        Assert.That(Log.Lines, Has.Count.EqualTo(1));
        Assert.That(
            Log.Lines[0],
            Does.Match(
                "^allowed ContainerCreate user=alice container= image=debian gpu=--gpus quota=0.5 rule=quota "
                    + "ms=[0-9.]+$"
            )
        );
    }

    [Test]
    public async Task An_illegal_create_is_denied_with_one_line()
    {
        Assert.That(
            await BeforeAsync(
                Call("POST", "/v1.41/containers/create", """{"Image":"debian","Labels":{"gpu-memory":"0.5"}}""")
            ),
            Is.EqualTo("gpu-memory=0.5 needs the runai volume: add -v runai:/runai")
        );
        Assert.That(
            Log.Lines.Single(),
            Does.Match(
                "^denied ContainerCreate user= container= image=debian gpu=none quota=0.5 "
                    + "rule=quota-needs-volume ms=[0-9.]+ reason=gpu-memory=0.5 needs"
            )
        );
    }

    [TestCase("/v1.44/containers/create", "this engine, or the API version of this call, knows no volume-subpath")]
    [TestCase("/v1.45/containers/create", "allowed")]
    public async Task A_subpath_counts_where_the_engine_reads_it(string target, string answer) =>
        Assert.That(
            await BeforeAsync(
                Call(
                    "POST",
                    target,
                    """{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["runai:/runai"],"Mounts":[{"Type":"volume","Source":"runai","Target":"/etc/ld.so.preload","VolumeOptions":{"Subpath":"ld.so.preload"}}]}}"""
                )
            ),
            Does.StartWith(answer)
        );

    const string Forgotten = "the mount of the half volume at /etc/ld.so.preload has no volume-subpath: ";

    [TestCase(
        "/v1.51/containers/create",
        "",
        Forgotten
            + "add ,volume-subpath=ld.so.preload to it, as in --mount "
            + "type=volume,src=half,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload"
    )]
    [TestCase(
        "/v1.45/containers/create",
        "com.docker.compose.project",
        Forgotten + "add volume: { subpath: ld.so.preload } to it"
    )]
    [TestCase("/v1.44/containers/create", "", "this engine, or the API version of this call, knows no volume-subpath")]
    [TestCase("/containers/create", "", "this engine, or the API version of this call, knows no volume-subpath")]
    public async Task A_forgotten_subpath_is_named(string target, string label, string answer) =>
        Assert.That(
            await BeforeAsync(
                Call(
                    "POST",
                    target,
                    $$$"""{"Labels":{"{{{label}}}":"lab"},"HostConfig":{"Binds":["half:/runai"],"Mounts":[{"Type":"volume","Source":"half","Target":"/etc/ld.so.preload"}]}}"""
                )
            ),
            Does.StartWith(answer)
        );

    [TestCase("/v1.41/containers/create", "add -e LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away")]
    [TestCase(
        "/v1.45/containers/create",
        "add --mount type=volume,src=half,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload (Docker 26 and "
            + "newer), or -e LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
    )]
    public async Task A_refusal_of_read_only_names_the_engines_remedies(string target, string remedy) =>
        Assert.That(
            await BeforeAsync(
                Call("POST", target, """{"HostConfig":{"Binds":["half:/runai"],"ReadonlyRootfs":true}}""")
            ),
            Is.EqualTo("--read-only leaves no way to put /etc/ld.so.preload into the container: " + remedy)
        );

    [TestCase(
        "local",
        Good,
        "gpu-memory=0.5 needs the runai volume, and runai is a volume of the driver local, made before this "
            + "plugin was there: docker volume rm runai, and try again ("
    )]
    [TestCase(
        "old/gpu:latest",
        Good,
        "gpu-memory=0.5 needs the runai volume, and runai is a volume of the driver old/gpu:latest, made before"
    )]
    [TestCase(
        "",
        Good,
        "gpu-memory=0.5 needs the runai volume, and the engine keeps runai for a volume driver that is not "
            + "there (this plugin under another name?), which docker volume rm cannot end: docker volume create -d "
            + "runai/gpu-memory gpu, and write gpu in place of runai"
    )]
    [TestCase(
        "local",
        """{"HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"Count":1}]}}""",
        "a quota needs the runai volume, and runai is a volume of the driver local, "
    )]
    [TestCase(
        "local",
        """{"Labels":{"gpu-memory":"0.5","com.docker.compose.project":"lab"},"HostConfig":{"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai"}]}}""",
        "gpu-memory=0.5 needs the runai volume, and runai is a volume of the driver local, made before this "
            + "plugin was there: docker volume rm runai, write \"runai: { external: true }\" under the file's "
            + "volumes, and try again"
    )]
    [TestCase("local", """{"HostConfig":{"Binds":["runai:/data"]}}""", "allowed")]
    [TestCase(null, Good, "allowed")]
    [TestCase("runai/gpu-memory", Good, "allowed")]
    public async Task Create_checks_the_driver_of_a_quota_volume(string? driver, string body, string answer)
    {
        Engine.VolumeDrivers["runai"] = driver;
        Assert.That(await BeforeAsync(Call("POST", "/v1.41/containers/create", body)), Does.StartWith(answer));
    }

    [TestCase("created", "", "; docker start job tries again, and docker run with --rm leaves no container behind")]
    [TestCase("exited", "", "; docker start job tries again")]
    [TestCase("created", "rm", "web holds 0.7 (97.8g)")]
    [TestCase("created", "compose", "; docker compose up tries again")]
    public async Task A_refused_start_says_how_to_try_again(string status, string how, string end)
    {
        HaveGpu("1", "web");
        HaveGpu("2", "job", status, how);
        await File.WriteAllTextAsync(Path.Combine(Folder, "gpu-memory.json"), "{}");
        Services.GetRequiredService<PolicySource>().Refresh();
        Services.GetRequiredService<IGpuReservations>().KeepOnly(new HashSet<string>(), 0);
        Assert.That(await BeforeAsync(Call("POST", "/containers/web/start")), Is.EqualTo("allowed"));
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/job/start")),
            Does.StartWith("GPU 0 (NVIDIA H200) has ").And.EndsWith(end)
        );
    }

    [Test]
    public async Task Create_refuses_only_quotas_that_never_fit()
    {
        HaveGpu("1", "web");
        await File.WriteAllTextAsync(Path.Combine(Folder, "gpu-memory.json"), """{"overcommit":0.8}""");
        Services.GetRequiredService<PolicySource>().Refresh();
        Services.GetRequiredService<IGpuReservations>().KeepOnly(new HashSet<string>(), 0);
        Assert.That(await BeforeAsync(Call("POST", "/containers/web/start")), Is.EqualTo("allowed"));
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/create", Good)),
            Is.EqualTo("allowed"),
            "0.5 beside 0.7"
        );
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/create", Good.Replace("0.5", "0.9"))),
            Does.StartWith("gpu-memory=0.9 (")
                .And.Contain(" is more than all that GPU 0 (NVIDIA H200) has for quotas, ")
        );
    }

    void HaveGpu(string id, string name, string status = "created", string how = "")
    {
        Have("0.7", status);
        var labels = new Dictionary<string, string> { ["gpu-memory"] = "0.7" };
        if (how == "compose")
            labels["com.docker.compose.project"] = "lab";
        Engine.Containers[id] = Engine.Containers[Id] with
        {
            Id = id,
            Name = "/" + name,
            Config = new() { Image = "debian", Labels = labels },
            HostConfig = new() { DeviceRequests = [new() { Count = 1 }], AutoRemove = how == "rm" },
        };
        Engine.Containers.Remove(Id);
    }

    [Test]
    public async Task The_driver_of_a_volume_is_asked_once()
    {
        for (var i = 0; i < 3; i++)
            Assert.That(await BeforeAsync(Call("POST", "/v1.41/containers/create", Good)), Is.EqualTo("allowed"));
        Assert.That(Engine.Calls.Count(call => call == "volume runai"), Is.EqualTo(1));
    }

    [Test]
    public async Task A_GPU_without_a_quota_is_allowed_and_logged()
    {
        Assert.That(
            await BeforeAsync(
                Call("POST", "/containers/create", """{"HostConfig":{"Devices":[{"PathOnHost":"/dev/nvidia0"}]}}""")
            ),
            Is.EqualTo("allowed")
        );
        Assert.That(Log.Lines.Single(), Does.Contain("gpu=device /dev/nvidia0 quota=none rule=gpu-without-quota"));
    }

    [Test]
    public async Task A_quota_without_a_GPU_is_allowed_and_logged()
    {
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/create", """{"HostConfig":{"Binds":["half:/runai"]}}""")),
            Is.EqualTo("allowed")
        );
        Assert.That(Log.Lines.Single(), Does.Contain("gpu=none quota=0.5 rule=quota-without-gpu"));
    }

    [Test]
    public async Task Ordinary_containers_cost_one_question_and_no_log_line()
    {
        Assert.That(
            await BeforeAsync(
                Call("POST", "/containers/create", """{"Image":"debian","HostConfig":{"Binds":["data:/data"]}}""")
            ),
            Is.EqualTo("allowed")
        );
        Assert.That((Engine.Calls, Log.Lines), Is.EqualTo((new[] { "info" }, Array.Empty<string>())));
    }

    [TestCase(null)]
    [TestCase("")]
    [TestCase("{")]
    [TestCase("""{"labels":{},"Labels":{}}""")]
    public async Task A_create_with_an_ambiguous_body_is_denied(string? body) =>
        Assert.That(
            await BeforeAsync(Call("POST", "/v1.41/containers/create?name=/auth", body)),
            Does.StartWith("the body of this create call is ambiguous, so it is refused: ")
        );

    [Test]
    public async Task Without_the_engine_the_body_alone_is_judged()
    {
        Engine.Failure = new("connection refused");
        Assert.That(await BeforeAsync(Call("POST", "/containers/create", Good)), Is.EqualTo("allowed"));
    }

    [Test]
    public async Task A_created_container_gets_the_preload()
    {
        Have("0.5");
        Assert.That((await Authorizer.AfterAsync(Created(Good), CancellationToken.None)).Allow);
        Assert.That(Engine.Files[(Id, "/etc/ld.so.preload")], Is.EqualTo("/runai/librunai.so\n"));
    }

    [Test]
    public async Task A_container_with_a_lent_volume_gets_the_preload()
    {
        Have("0.5");
        await Authorizer.AfterAsync(Created("""{"HostConfig":{"VolumesFrom":["other"]}}"""), CancellationToken.None);
        Assert.That(Engine.Files, Has.Count.EqualTo(1));
    }

    static readonly AuthZRequest[] NotServed =
    [
        Created("""{"Image":"debian"}"""),
        Created(Good, 404, """{"message":"no such image"}"""),
        Created(Good, 201, "not JSON"),
        Created(Good, 201, "{}"),
        Created(Good, 201, """{"Id":7}"""),
        Created(Good, 201, "[]"),
        Created("{", 201),
        new(),
    ];

    [TestCaseSource(nameof(NotServed))]
    public async Task No_other_container_gets_the_preload(AuthZRequest call)
    {
        Have("0.5");
        Assert.That((await Authorizer.AfterAsync(call, CancellationToken.None)).Allow);
        Assert.That(Engine.Files, Is.Empty);
    }

    [Test]
    public async Task A_preload_missing_after_create_comes_at_the_start()
    {
        Have("0.5");
        Engine.Failure = new("busy", 500);
        Assert.That((await Authorizer.AfterAsync(Created(Good), CancellationToken.None)).Allow);
        Assert.That(
            Log.Lines.Single(),
            Does.StartWith($"The preload of {Id} is not in place yet: ")
                .Or.StartWith("The preload of  is not in place yet: ")
        );
        Engine.Failure = null;
        Assert.That(await BeforeAsync(Call("POST", "/v1.41/containers/web/start")), Is.EqualTo("allowed"));
        Assert.That(Engine.Files, Has.Count.EqualTo(1));
    }

    [TestCase("start")]
    [TestCase("restart")]
    public async Task A_start_is_judged_by_what_the_engine_will_run(string verb)
    {
        Have("2");
        Assert.That(
            await BeforeAsync(Call("POST", $"/v1.41/containers/{Id[..6]}/{verb}")),
            Does.StartWith("gpu-memory=2 has no unit")
        );
        Have("0.5", driver: "local");
        Assert.That(
            await BeforeAsync(Call("POST", $"/v1.41/containers/web/{verb}")),
            Is.EqualTo("allowed"),
            "it has no GPU"
        );
        Engine.Containers[Id] = Engine.Containers[Id] with
        {
            HostConfig = new() { DeviceRequests = [new() { Count = 1 }] },
        };
        Assert.That(
            await BeforeAsync(Call("POST", $"/v1.41/containers/web/{verb}")),
            Is.EqualTo(
                "gpu-memory=0.5 needs the runai volume, and runai is a volume of the driver local, made before "
                    + "this plugin was there: docker volume rm runai, and try again (docker ps -a --filter "
                    + "volume=runai shows the containers to remove first)"
            )
        );
        Have("0.5");
        Assert.That(await BeforeAsync(Call("POST", $"/v1.41/containers/web/{verb}")), Is.EqualTo("allowed"));
        Assert.That(Engine.Files[(Id, "/etc/ld.so.preload")], Is.EqualTo("/runai/librunai.so\n"));
    }

    [TestCase("0.5", "runai/gpu-memory:latest", "0.5")]
    [TestCase("0.5", "local", null)]
    [TestCase("2", "runai/gpu-memory:latest", null)]
    public async Task An_allowed_start_is_noted_with_its_quota(string label, string driver, string? quota)
    {
        Have(label, driver: driver);
        var starts = Services.GetRequiredService<AllowedStarts>();
        await BeforeAsync(Call("POST", "/containers/web/start"));
        Assert.That(
            (starts.Find(Id)?.Name, starts.Find(Id)?.Verdict.Quota?.Text),
            Is.EqualTo((quota is null ? null : "/web", quota))
        );
    }

    [Test]
    public async Task A_start_without_its_preload_is_denied()
    {
        Have("0.5");
        Engine.Files[(Id, "/etc/ld.so.preload")] = "directory";
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/web/start")),
            Is.EqualTo(
                "/etc/ld.so.preload of the container is no file: remove it, or add -e "
                    + "LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
            )
        );
    }

    [Test]
    public async Task The_engine_refuses_an_unknown_container() =>
        Assert.That(await BeforeAsync(Call("POST", "/containers/nobody/start")), Is.EqualTo("allowed"));

    [Test]
    public async Task A_start_that_cannot_be_judged_is_denied()
    {
        Engine.Failure = new("connection\nrefused");
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/web/start")),
            Is.EqualTo(
                "the GPU memory plugin could not learn from the engine what web is "
                    + "(\"connection\\u000arefused\"), so it does not start: try again"
            )
        );
    }

    [Test]
    public async Task A_hanging_engine_denies_a_start_in_time()
    {
        Engine.Hangs = true;
        var started = TimeProvider.System.GetTimestamp();
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/web/start")),
            Does.Contain("could not learn from the engine what web is (no answer in time)")
        );
        Assert.That(TimeProvider.System.GetElapsedTime(started), Is.LessThan(TimeSpan.FromSeconds(5)));
    }

    [Test]
    public void A_call_that_the_engine_cancels_is_cancelled()
    {
        Engine.Hangs = true;
        using var gone = new CancellationTokenSource(50);
        Assert.That(
            async () => await Authorizer.BeforeAsync(Call("POST", "/containers/web/start"), gone.Token),
            Throws.InstanceOf<OperationCanceledException>()
        );
    }

    [Test]
    public async Task An_old_start_with_a_configuration_is_denied()
    {
        Have("", driver: null);
        Assert.That(
            await BeforeAsync(Call("POST", "/v1.23/containers/web/start", """{"Privileged":true}""")),
            Does.StartWith("this start call of an API before 1.24 brings a configuration")
        );
        Assert.That(
            await BeforeAsync(
                Call("POST", "/v1.23/containers/web/start") with
                {
                    RequestHeaders = new Dictionary<string, string> { ["Content-Type"] = "application/json" },
                }
            ),
            Does.StartWith("this start call")
        );
        Assert.That(await BeforeAsync(Call("POST", "/v1.23/containers/web/start")), Is.EqualTo("allowed"));
        Assert.That(await BeforeAsync(Call("POST", "/v1.41/containers/web/start", "{}")), Is.EqualTo("allowed"));
    }

    /// <summary>Of an upload that went well the engine says 0, and one that failed may have written before.</summary>
    [TestCase(0)]
    [TestCase(200)]
    [TestCase(500)]
    public async Task An_upload_leaves_the_preload_in_place(int status)
    {
        Have("0.5");
        await BeforeAsync(Call("POST", "/containers/web/start"));
        var upload = Call("PUT", "/v1.41/containers/web/archive?path=/");
        Assert.That(await BeforeAsync(upload), Is.EqualTo("allowed"));
        Engine.Files[(Id, "/etc/ld.so.preload")] = "";
        await Authorizer.AfterAsync(upload with { ResponseStatusCode = status }, CancellationToken.None);
        Assert.That(Engine.Files[(Id, "/etc/ld.so.preload")], Is.EqualTo("/runai/librunai.so\n"));
    }

    [Test]
    public async Task Only_the_secret_marks_our_own_calls()
    {
        Have("0.5");
        var own = Services.GetRequiredService<SelfCalls>();
        var upload = Call("PUT", $"/v1.41/containers/{Id}/archive?path=/etc") with
        {
            ResponseStatusCode = 200,
            RequestHeaders = new Dictionary<string, string> { [SelfCalls.Header] = own.Secret },
        };
        await BeforeAsync(upload);
        await Authorizer.AfterAsync(upload, CancellationToken.None);
        Assert.That(Engine.Calls, Is.Empty);
        Have("2");
        var forged = Call("POST", "/containers/web/start") with
        {
            RequestHeaders = new Dictionary<string, string> { [SelfCalls.Header] = "guess" },
        };
        Assert.That(await BeforeAsync(forged), Does.StartWith("gpu-memory=2"));
    }

    [Test]
    public async Task The_image_is_asked_about_where_it_matters()
    {
        Engine.Images["cuda"] = new()
        {
            Config = new() { Labels = new Dictionary<string, string> { ["gpu-memory"] = "0.25" } },
        };
        Assert.That(
            await BeforeAsync(
                Call("POST", "/containers/create", """{"Image":"cuda","HostConfig":{"DeviceRequests":[{"Count":1}]}}""")
            ),
            Is.EqualTo("gpu-memory=0.25 needs the runai volume: add -v runai:/runai")
        );
        Assert.That(
            await BeforeAsync(
                Call("POST", "/containers/create", """{"Image":"cuda","HostConfig":{"Binds":["runai:/runai"]}}""")
            ),
            Is.EqualTo("allowed")
        );
    }

    [TestCase(true, "created", true)]
    [TestCase(false, "created", false)]
    [TestCase(true, "exited", false)]
    public async Task A_refused_docker_run_rm_leaves_no_container(bool autoRemove, string status, bool removed)
    {
        Have("2", status);
        Engine.Containers[Id] = Engine.Containers[Id] with { HostConfig = new() { AutoRemove = autoRemove } };
        Assert.That(
            await BeforeAsync(Call("POST", $"/v1.41/containers/{Id}/start")),
            Does.Contain("gpu-memory=2 has no unit")
        );
        Assert.That(Engine.Calls.Contains($"remove {Id}"), Is.EqualTo(removed));
    }

    const string Other = "fedcba9876543210";

    /// <summary>A start by name whose name means another container by the time the engine looks, and that container,
    /// running.</summary>
    async Task<ContainerInspect> StartAnotherAsync(string named, string otherLabel, bool answered = false)
    {
        Have("0.5");
        var call = Call("POST", $"/v1.41/containers/{named}/start", user: "eve");
        Assert.That(await BeforeAsync(call), Is.EqualTo("allowed"));
        var other = Engine.Containers[Id] with
        {
            Id = Other,
            Name = $"/{named}",
            State = new()
            {
                Status = "running",
                Running = true,
                Pid = 7,
                StartedAt = DateTimeOffset.UtcNow.AddSeconds(answered ? 1 : 0).ToString("o"),
            },
            Config = new()
            {
                Image = "debian",
                Labels = new Dictionary<string, string> { ["gpu-memory"] = otherLabel },
            },
        };
        await Authorizer.AfterAsync(call with { ResponseStatusCode = 204 }, CancellationToken.None);
        return other;
    }

    Verdict JudgeRunning(ContainerInspect container) =>
        Services.GetRequiredService<IContainerJudge>().Judge(container, Requester.Engine).Verdict;

    [TestCase("web", false, true)]
    [TestCase("0123", false, true, Description = "the begin of an ID, and a name")]
    [TestCase(Id, false, false, Description = "the whole ID means nobody else")]
    [TestCase("web", true, false, Description = "it started after the call was over")]
    public async Task A_container_that_another_ones_start_began_is_judged(string named, bool afterwards, bool ends)
    {
        var verdict = JudgeRunning(await StartAnotherAsync(named, "2", afterwards));
        Assert.That(
            (verdict.IsAllowed, verdict.KillsNow, verdict.StopsViolation),
            Is.EqualTo((false, ends, false)),
            "whatever onBreach says"
        );
        Assert.That(
            verdict.Reasons.Select(r => r.Rule),
            Is.EqualTo(ends ? new[] { "quota-syntax", "unjudged-start" } : ["quota-syntax"])
        );
    }

    [Test]
    public async Task A_legal_container_started_so_counts_for_the_caller()
    {
        Assert.That(JudgeRunning(await StartAnotherAsync("web", "0.5")).IsAllowed);
        Assert.That(Services.GetRequiredService<GpuReservations>().UserOf(Other), Is.EqualTo("eve"));
    }

    /// <summary>Its configuration gives it none: another container's program handed it open device files.</summary>
    [TestCase(
        """{"requireQuota":true}""",
        "a container with a GPU (use of GPU 1) needs a quota on this machine: add -v runai:/runai --label "
            + "gpu-memory=0.5"
    )]
    [TestCase("""{"requireQuota":true,"exempt":{"images":["debian"]}}""", "")]
    [TestCase("{}", "")]
    public void A_container_seen_to_use_a_GPU_has_one(string policy, string problem)
    {
        File.WriteAllText(Path.Combine(Folder, "gpu-memory.json"), policy);
        Services.GetRequiredService<PolicySource>().Refresh();
        var container = new ContainerInspect
        {
            Id = Id,
            Name = "/web",
            Config = new() { Image = "debian" },
        };
        var observed = Observed.None with { Excesses = [new(new FakeGpus().Devices[1], 6L << 30, 0)] };
        Assert.That(
            Services.GetRequiredService<IContainerJudge>().Judge(container, Requester.Engine, observed).Verdict.Message,
            Is.EqualTo(problem)
        );
    }
}
