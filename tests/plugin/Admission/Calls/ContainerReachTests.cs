// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Admission.Calls;

/// <summary>Calls that get into a container without starting it.</summary>
sealed class ContainerReachTests : AuthorizerFixture
{
    const string Users =
        """{"localSocket":"user","allowPrivileged":false,"allowHostNamespaces":false,"allowBindMounts":["/home/*"],"exempt":{"users":["ops"]}}""";
    static readonly string Admins = new('a', 64);
    static readonly string Mine = new('b', 64);

    static readonly (string Method, string Uri, string? Body)[] Calls =
    [
        ("POST", "/containers/{0}/exec", """{"Cmd":["sh"]}"""),
        ("POST", "/containers/{0}/attach?stdin=1", null),
        ("GET", "/containers/{0}/attach/ws", null),
        ("GET", "/containers/{0}/archive?path=/", null),
        ("HEAD", "/containers/{0}/archive?path=/", null),
        ("PUT", "/containers/{0}/archive?path=/", null),
        ("POST", "/v1.20/containers/{0}/copy", null),
        ("GET", "/containers/{0}/export", null),
        ("POST", "/commit?container={0}", "{}"),
        ("POST", "/containers/{0}/rename?name=x", null),
        ("POST", "/containers/{0}/checkpoints", """{"CheckpointID":"x"}"""),
        ("POST", "/exec/of-{0}/start", "{}"),
        ("POST", "/containers/create", """{"Image":"x","HostConfig":{"PidMode":"container:{0}"}}"""),
        ("POST", "/containers/create", """{"Image":"x","HostConfig":{"IpcMode":"container:{0}"}}"""),
        ("POST", "/containers/create", """{"Image":"x","HostConfig":{"NetworkMode":"container:{0}"}}"""),
    ];

    void Write(string policy)
    {
        File.WriteAllText(Path.Combine(Folder, "gpu-memory.json"), policy);
        Services.GetRequiredService<PolicySource>().Refresh();
    }

    [SetUp]
    public void MakeContainers()
    {
        Engine.Containers[Admins] = new()
        {
            Id = Admins,
            Name = "/admins",
            HostConfig = new() { Binds = ["/etc:/host"] },
        };
        Engine.Containers[Mine] = new()
        {
            Id = Mine,
            Name = "/mine",
            HostConfig = new() { Binds = ["/home/bob:/x"] },
        };
        foreach (var name in (string[])[Admins, Mine, "admins", "mine", "aaa"])
            Engine.Execs["of-" + name] = new() { ContainerId = name, ProcessConfig = new(false) };
    }

    Task<string> AskAsync((string Method, string Uri, string? Body) call, string name, string user = "") =>
        BeforeAsync(
            Call(
                call.Method,
                call.Uri.Replace("{0}", name, StringComparison.Ordinal),
                call.Body?.Replace("{0}", name, StringComparison.Ordinal),
                user
            )
        );

    [Test]
    public async Task Callers_reach_only_containers_that_they_may_start()
    {
        Write(Users);
        foreach (var call in Calls)
        {
            foreach (var name in (string[])[Admins, "admins", "aaa"])
                Assert.That(
                    await AskAsync(call, name),
                    Does.Contain(
                        $"reaches into the container {name}, which you could not start on this machine: a mount "
                            + "of the host's /etc is not allowed on this machine"
                    ),
                    $"{call} {name}"
                );
            foreach (var name in (string[])[Mine, "mine"])
                Assert.That(await AskAsync(call, name), Is.EqualTo("allowed"), $"{call} {name}");
            Assert.That(await AskAsync(call, Admins, "ops"), Is.EqualTo("allowed"), $"{call} of somebody exempt");
            Assert.That(await AskAsync(call, new string('0', 64)), Is.EqualTo("allowed"), "the engine says so itself");
            if (!call.Uri.StartsWith("/exec", StringComparison.Ordinal))
                Assert.That(
                    (await AskAsync(call, "nobody"), await AskAsync(call, "nobody", "ops")),
                    Is.EqualTo(("there is no container nobody", "allowed")),
                    $"{call}: it may be somebody when the engine looks"
                );
        }
    }

    [Test]
    public async Task A_start_by_an_unknown_name_is_refused()
    {
        Write(Users);
        foreach (var call in (string[])["start", "restart"])
            Assert.That(
                (
                    await BeforeAsync(Call("POST", $"/containers/nobody/{call}")),
                    await BeforeAsync(Call("POST", $"/containers/nobody/{call}", user: "ops")),
                    await BeforeAsync(Call("POST", $"/containers/{new string('0', 64)}/{call}"))
                ),
                Is.EqualTo(("there is no container nobody", "allowed", "allowed"))
            );
    }

    [Test]
    public async Task Names_of_links_reach_no_container()
    {
        Write(Users);
        Assert.That(
            await AskAsync(Calls[0], "mine%2Fal"),
            Does.StartWith("mine/al is the name of a link, by which no container is reached on this machine")
        );
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/mine%2Fal/start")),
            Does.StartWith("mine/al is the name of a link")
        );
        foreach (
            var (link, problem) in ((string, string)[])
                [
                    ("admins:al", "--link reaches into the container admins"),
                    ("/admins:/c1/al", "--link reaches into the container admins"),
                    ("nobody:al", "there is no container nobody"),
                    ("mine:../other", "the alias ../other of a --link is no name"),
                    ("mine:..", "the alias .. of"),
                    ("mine:", "the alias  of"),
                ]
        )
            Assert.That(
                await BeforeAsync(
                    Call("POST", "/containers/create", $$$"""{"Image":"x","HostConfig":{"Links":["{{{link}}}"]}}""")
                ),
                Does.StartWith(problem),
                link
            );
        foreach (var link in (string[])["mine", "mine:al", "/mine:/c1/al"])
            Assert.That(
                await BeforeAsync(
                    Call("POST", "/containers/create", $$$"""{"Image":"x","HostConfig":{"Links":["{{{link}}}"]}}""")
                ),
                Is.EqualTo("allowed"),
                link
            );
    }

    [Test]
    public async Task A_judged_name_is_not_given_away()
    {
        Write(Users);
        Assert.That(await AskAsync(Calls[0], "mine"), Is.EqualTo("allowed"));
        var rename = Call("POST", $"/containers/{Mine}/rename?name=mine", user: "ops");
        var moves = BeforeAsync(rename);
        Assert.That(moves.IsCompleted, Is.False, "it waits for the exec");
        await Authorizer.AfterAsync(Call("POST", "/containers/mine/exec", Calls[0].Body), CancellationToken.None);
        Assert.That(await moves, Is.EqualTo("allowed"));
        Assert.That(await AskAsync(Calls[0], "mine"), Is.EqualTo("mine is being created or renamed: try again"));
        await Authorizer.AfterAsync(rename, CancellationToken.None);
        Assert.That(await AskAsync(Calls[0], "mine"), Is.EqualTo("allowed"));
    }

    [Test]
    public async Task A_build_network_needs_the_whole_ID()
    {
        Write(Users);
        Task<string> Build(string name, string user = "") =>
            BeforeAsync(Call("POST", $"/build?networkmode=container:{name}", user: user));
        Assert.That(
            await Build("mine"),
            Does.StartWith(
                "docker build --network container:mine could come to mean another container while it builds: "
                    + "write the whole ID"
            )
        );
        Assert.That((await Build(Mine), await Build("mine", "ops")), Is.EqualTo(("allowed", "allowed")));
        Assert.That(await Build(Admins), Does.Contain("a mount of the host's /etc"));
    }

    [TestCase(
        "POST",
        "/containers/mine/rename?name=x",
        "application/x-www-form-urlencoded",
        null,
        "the body of this call is a form"
    )]
    [TestCase(
        "POST",
        "/commit?container=mine",
        "multipart/form-data; boundary=x",
        "5",
        "the body of this call is a form"
    )]
    [TestCase(
        "POST",
        "/containers/mine/start",
        "application/x-www-form-urlencoded",
        null,
        "the body of this call is a form"
    )]
    [TestCase("POST", "/build", "application/x-www-form-urlencoded", null, "the body of this call is a form")]
    [TestCase(
        "POST",
        "/containers/mine/rename?name=x",
        "text/plain",
        "5",
        "the engine did not pass on the body of this call"
    )]
    [TestCase(
        "POST",
        "/commit?container=mine",
        "application/json",
        null,
        "the engine did not pass on the body of this call"
    )]
    [TestCase("POST", "/containers/mine/rename?name=x", "text/plain", "0", "allowed")]
    [TestCase("PUT", "/containers/mine/archive?path=/", "application/x-tar", "5", "allowed")]
    public async Task A_body_that_the_engine_withholds_is_refused(
        string method,
        string uri,
        string type,
        string? length,
        string answer
    )
    {
        Write(Users);
        var headers = new Dictionary<string, string> { ["Content-Type"] = type };
        if (length is not null)
            headers["Content-Length"] = length;
        Assert.That(await BeforeAsync(Call(method, uri) with { RequestHeaders = headers }), Does.StartWith(answer));
    }

    [Test]
    public async Task The_engine_is_asked_only_for_a_policy(
        [Values(null, "{}", """{"allowBindMounts":[],"requireQuota":true}""")] string? policy
    )
    {
        if (policy is not null)
            Write(policy);
        foreach (var call in Calls.Where(c => !c.Uri.Contains("create", StringComparison.Ordinal)))
            Assert.That(await AskAsync(call, Admins), Is.EqualTo("allowed"));
        Assert.That(Engine.Calls, Is.Empty);
    }

    [Test]
    public void Without_a_policy_they_need_no_decision()
    {
        Assert.That(Authorizer.NeedsDecision("POST", "/containers/x/attach"), Is.False);
        Write(Users);
        Assert.That(Authorizer.NeedsDecision("POST", "/containers/x/attach"));
    }

    [Test]
    public async Task An_engine_that_does_not_answer_refuses_everyone()
    {
        Write(Users);
        Engine.Failure = new EngineException("busy");
        foreach (var call in Calls)
            Assert.That(await AskAsync(call, Mine), Does.Contain("could not learn from the engine"), $"{call}");
        Write(Users.Replace("{\"local", "{\"mode\":\"audit\",\"local", StringComparison.Ordinal));
        foreach (var call in Calls.Where(c => !c.Uri.EndsWith("exec", StringComparison.Ordinal)))
            Assert.That(await AskAsync(call, Mine), Is.EqualTo("allowed"), $"{call}");
    }

    [Test]
    public async Task Audit_mode_reports_and_allows()
    {
        Write(Users.Replace("{\"local", "{\"mode\":\"audit\",\"local", StringComparison.Ordinal));
        Assert.That(await AskAsync(Calls[0], Admins), Is.EqualTo("allowed"));
        Assert.That(
            Log.Lines,
            Has.Some.Contains("audit: would be denied ExecCreate").And.Some.Contains("rule=bind-mount")
        );
    }

    /// <summary>Its ID stands in the events before whoever made it starts it.</summary>
    [TestCase(
        true,
        "this exec was made with --privileged, which is not allowed on this machine: make one without it, or "
            + "ask an admin to exempt you"
    )]
    [TestCase(
        null,
        "this exec was made with --privileged, which is not allowed on this machine: make one without it, or "
            + "ask an admin to exempt you"
    )]
    [TestCase(false, "allowed")]
    public async Task Starting_a_privileged_exec_needs_the_right_to_make_one(bool? privileged, string answer)
    {
        Engine.Execs["x"] = new() { ContainerId = Mine, ProcessConfig = privileged is null ? null : new(privileged) };
        Task<string> StartAsync(string user = "") => BeforeAsync(Call("POST", "/exec/x/start", "{}", user));
        Assert.That(await StartAsync(), Is.EqualTo("allowed"), "there is no policy");
        Write(Users);
        Assert.That(
            (await StartAsync(), await StartAsync("bob"), await StartAsync("ops")),
            Is.EqualTo((answer, answer, "allowed"))
        );
        Write(Users.Replace("\"localSocket\":\"user\",", "", StringComparison.Ordinal));
        Assert.That(await StartAsync(), Is.EqualTo(answer), "an admin's own is refused as well, unless he is exempt");
        Write(Users.Replace("\"allowPrivileged\":false,", "", StringComparison.Ordinal));
        Assert.That(await StartAsync(), Is.EqualTo("allowed"), "anybody may");
        Engine.Execs["x"] = new() { ProcessConfig = new(false) };
        Assert.That(await StartAsync(), Does.Contain("could not learn from the engine"));
    }

    /// <summary>A name may be given up between the look of the plugin and that of the engine.</summary>
    [Test]
    public async Task A_name_that_begins_an_ID_means_both()
    {
        Write(Users);
        // the engine looks for a name first
        Engine.Containers[Mine] = Engine.Containers[Mine] with
        {
            Name = "/aaaa",
        };
        Assert.That(await AskAsync(Calls[0], "aaaa"), Does.Contain("a mount of the host's /etc"));
    }

    [TestCase(
        "/containers/mine/start?checkpoint=x&checkpoint-dir=/etc",
        "checkpoints in the host's /etc are not allowed on this machine: leave the folder out"
    )]
    [TestCase(
        "/containers/mine/start?checkpoint=x&checkpoint%2Ddir=%2Fetc&checkpoint-dir=",
        "checkpoints in the host's /etc are not allowed on this machine: leave the folder out"
    )]
    [TestCase("/containers/mine/start?checkpoint=x&checkpoint-dir=/home/bob", "allowed")]
    [TestCase("/containers/mine/start?checkpoint=x", "allowed")]
    public async Task A_start_reads_no_checkpoint_from_the_hosts_folders(string uri, string answer)
    {
        Write(Users);
        Assert.That(await BeforeAsync(Call("POST", uri)), Is.EqualTo(answer));
        Assert.That(await BeforeAsync(Call("POST", uri, user: "ops")), Is.EqualTo("allowed"));
    }

    [Test]
    public async Task The_container_whose_namespaces_it_shares_counts_too()
    {
        Write(Users);
        var between = new string('c', 64);
        Engine.Containers[between] = new()
        {
            Id = between,
            Name = "/between",
            HostConfig = new() { PidMode = $"container:{Admins}" },
        };
        Engine.Containers["d"] = new()
        {
            Id = new('d', 64),
            Name = "/loop",
            HostConfig = new() { PidMode = "container:loop" },
        };
        Assert.That(await AskAsync(Calls[0], "between"), Does.Contain("a mount of the host's /etc"));
        Assert.That(await AskAsync(Calls[0], "loop"), Is.EqualTo("allowed"));
        Engine.Containers[Mine] = Engine.Containers[Mine] with { HostConfig = new() { IpcMode = "container:between" } };
        Assert.That(
            await BeforeAsync(Call("POST", $"/containers/{Mine}/start")),
            Does.Contain("--pid, --ipc or --network container: reaches into the container")
        );
        Assert.That(await BeforeAsync(Call("POST", $"/containers/{Mine}/start", user: "ops")), Is.EqualTo("allowed"));
    }

    [Test]
    public async Task An_existing_volume_is_judged_by_its_own_options()
    {
        Write(Users);
        Engine.Volumes["hostly"] = ["/etc"];
        foreach (
            var host in (string[])
                [
                    "\"Binds\":[\"hostly:/x\"]",
                    """ "Mounts":[{"Type":"volume","Source":"hostly","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"tmpfs","device":"x"}}}}] """,
                ]
        )
        {
            var create = Call("POST", "/containers/create", $$"""{"HostConfig":{ {{host}} } }""");
            Assert.That(
                await BeforeAsync(create),
                Does.StartWith("a mount of the host's /etc is not allowed on this machine")
            );
            Assert.That(await BeforeAsync(create with { User = "ops" }), Is.EqualTo("allowed"));
        }
        Assert.That(
            await BeforeAsync(
                Call(
                    "POST",
                    "/services/create",
                    """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"hostly","Target":"/x"}]}}}"""
                )
            ),
            Does.StartWith("a mount of the host's /etc is not allowed on this machine")
        );
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/create", """{"HostConfig":{"Binds":["data:/x"]}}""")),
            Is.EqualTo("allowed")
        );
        Engine.Failure = new EngineException("busy");
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/create", """{"HostConfig":{"Binds":["data:/x"]}}""")),
            Does.StartWith("the GPU memory plugin could not learn from the engine what volumes")
        );
    }
}
