// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Admission.Calls;

sealed class ResourceCallsTests
{
    const string ExemptId = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    static readonly string Closed = GoldenCase.SharedPolicy("closed.json");

    static async Task<string> AskAsync(
        string? policy,
        string method,
        string uri,
        string? body = null,
        string user = "",
        FakeEngine? engine = null,
        string authentication = "",
        VolumeMakers? makers = null
    )
    {
        var folder = Directory.CreateTempSubdirectory("side").FullName;
        var settings = new PluginSettings { State = folder, Policy = Path.Combine(folder, "policy") };
        if (policy is not null)
            File.WriteAllText(settings.Policy, policy);
        await using var services = new ServiceCollection()
            .AddLogging()
            .AddSingleton(settings)
            .AddSingleton<IEngineClient>(
                engine
                    ?? new()
                    {
                        Containers =
                        {
                            ["1"] = new() { Id = new('1', 64), Name = "/web" },
                        },
                    }
            )
            .AddSingleton<IVolumeCatalog, FakeVolumes>()
            .AddSingleton(makers ?? new())
            .AddSingleton<IDeviceNodes, FakeNodes>()
            .AddSingleton<IGpuInventory, FakeGpus>()
            .AddAdmission()
            .BuildServiceProvider();
        var call = new AuthZRequest
        {
            RequestMethod = method,
            RequestUri = uri,
            User = user,
            UserAuthNMethod = authentication,
            RequestBody = body is null ? null : Encoding.UTF8.GetBytes(body),
        };
        var answer = await services.GetRequiredService<IAuthorizer>().BeforeAsync(call, CancellationToken.None);
        Directory.Delete(folder, recursive: true);
        return answer.Allow ? "allowed" : answer.Msg;
    }

    [TestCase(
        "POST",
        "/v1.51/plugins/runai/gpu-memory:latest/disable",
        "only admins may change plugins on this machine"
    )]
    [TestCase("POST", "/v1.51/plugins/0123abcd/set", "only admins may change plugins on this machine")]
    [TestCase("POST", "/plugins/0123/upgrade?remote=x", "only admins may change plugins on this machine")]
    [TestCase("POST", "/v1.51/plugins/pull?remote=evil/root", "only admins may change plugins on this machine")]
    [TestCase("POST", "/v1.51/plugins/create?name=evil", "only admins may change plugins on this machine")]
    [TestCase("DELETE", "/v1.51/plugins/0", "only admins may change plugins on this machine")]
    [TestCase(
        "POST",
        "/v1.51/swarm/init",
        "the swarm, whose managers start containers here without asking, is the admins' on this machine: ask "
            + "one of them"
    )]
    [TestCase(
        "POST",
        "/v1.51/swarm/join",
        "the swarm, whose managers start containers here without asking, is the admins' on this machine: ask "
            + "one of them"
    )]
    [TestCase(
        "POST",
        "/v1.51/swarm/update?version=1&rotateManagerToken=1",
        "the swarm, whose managers start containers here without asking, is the admins' on this machine: ask "
            + "one of them"
    )]
    [TestCase(
        "POST",
        "/v1.51/nodes/0123/update?version=7",
        "the swarm, whose managers start containers here without asking, is the admins' on this machine: ask "
            + "one of them"
    )]
    [TestCase(
        "DELETE",
        "/v1.51/nodes/0123?force=1",
        "the swarm, whose managers start containers here without asking, is the admins' on this machine: ask "
            + "one of them"
    )]
    [TestCase(
        "GET",
        "/v1.51/swarm",
        "the swarm, whose managers start containers here without asking, is the admins' on this machine: ask "
            + "one of them"
    )]
    [TestCase(
        "GET",
        "/v1.51/swarm/unlockkey",
        "the swarm, whose managers start containers here without asking, is the admins' on this machine: ask "
            + "one of them"
    )]
    [TestCase(
        "DELETE",
        "/v1.51/volumes/half?force=1",
        "the volume half carries a quota, and only who made it and admins may remove it on this machine"
    )]
    public async Task Only_admins_may_make_these_calls(string method, string uri, string denial)
    {
        Assert.That(await AskAsync(Closed, method, uri), Is.EqualTo(denial));
        Assert.That(await AskAsync(Closed, method, uri, user: "bob"), Is.EqualTo(denial));
        Assert.That(await AskAsync(Closed, method, uri, user: "ada"), Is.EqualTo("allowed"));
        Assert.That(
            await AskAsync("{}", method, uri),
            Is.EqualTo("allowed"),
            "the socket is an admin's unless the policy says otherwise"
        );
        Assert.That(
            await AskAsync(null, method, uri, user: "bob"),
            Is.EqualTo("allowed"),
            "without a policy everybody is an admin"
        );
    }

    [TestCase("alices", "alice", "TLS", true)]
    [TestCase("alices", "bob", "TLS", false)]
    [TestCase("alices", "", "", false)]
    [TestCase("alices", "ada", "TLS", true, Description = "an admin")]
    [TestCase("sockets", "", "", true, Description = "callers on the socket are one user")]
    [TestCase("sockets", "", "TLS", false, Description = "a certificate without a name")]
    [TestCase("sockets", "bob", "TLS", false)]
    [TestCase("half", "", "", false, Description = "an admin made it, or nobody knows who")]
    public async Task The_maker_of_a_volume_may_remove_it(
        string volume,
        string user,
        string authentication,
        bool isAllowed
    ) =>
        Assert.That(
            await AskAsync(Closed, "DELETE", $"/v1.51/volumes/{volume}", user: user, authentication: authentication)
                == "allowed",
            Is.EqualTo(isAllowed)
        );

    [TestCase("POST", "/v1.51/volumes/create", """{"Name":"new","Driver":"runai/gpu-memory"}""")]
    [TestCase(
        "POST",
        "/v1.51/containers/create",
        """{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"VolumeDriver":"runai/gpu-memory","Binds":["new:/runai"]}}"""
    )]
    public async Task The_maker_of_a_volume_is_kept(string method, string uri, string body)
    {
        foreach (
            var (user, authentication, owner) in ((string, string, string?)[])
                [("bob", "TLS", "bob"), ("", "", ""), ("", "TLS", null), ("ada", "TLS", null)]
        )
        {
            var makers = new VolumeMakers();
            Assert.That(
                await AskAsync(Closed, method, uri, body, user, authentication: authentication, makers: makers),
                Is.EqualTo("allowed")
            );
            Assert.That(makers.Take("new"), Is.EqualTo(owner), $"{user} {authentication}");
        }
    }

    /// <summary>As many a certificate of today is, which has its names elsewhere.</summary>
    [Test]
    public async Task A_certificate_without_a_name_is_not_the_socket()
    {
        Assert.That(
            await AskAsync("{}", "POST", "/plugins/x/set", authentication: "TLS"),
            Is.EqualTo("only admins may change plugins on this machine")
        );
        Assert.That(await AskAsync("{}", "POST", "/plugins/x/set"), Is.EqualTo("allowed"));
        Assert.That(
            await AskAsync(Closed, "POST", "/plugins/x/set", user: "ada", authentication: "TLS"),
            Is.EqualTo("allowed")
        );
        Assert.That(await AskAsync(null, "POST", "/plugins/x/set", authentication: "TLS"), Is.EqualTo("allowed"));
    }

    const string NoHost = """{"localSocket":"user","allowHostNamespaces":false,"exempt":{"users":["ops"]}}""";

    [TestCase("/build?networkmode=host", "host")]
    [TestCase("/v1.41/build?t=x&network%6dode=%68ost", "host")]
    [TestCase("http:/build?networkmode=none&networkmode=host", "host")]
    [TestCase("/build?networkmode=container:sharing", "container:sharing")]
    public async Task A_build_on_the_hosts_network_is_refused(string uri, string mode)
    {
        var engine = new FakeEngine();
        engine.Containers["1"] = new()
        {
            Id = "1",
            Name = "/sharing",
            HostConfig = new() { NetworkMode = "host" },
        };
        engine.Containers["2"] = new()
        {
            Id = new('2', 64),
            Name = "/other",
            HostConfig = new() { NetworkMode = "none" },
        };
        Assert.That(
            await AskAsync(NoHost, "POST", uri, engine: engine),
            Is.EqualTo(
                $"docker build --network {mode} is not allowed on this machine: leave it out, or ask an admin "
                    + "to exempt you"
            )
        );
        Assert.That(await AskAsync("{}", "POST", uri, engine: engine), Is.EqualTo("allowed"));
        Assert.That(await AskAsync(NoHost, "POST", uri, user: "ops", engine: engine), Is.EqualTo("allowed"));
        foreach (
            var fine in (string[])
                [
                    "/build",
                    "/build?networkmode=none&t=host",
                    $"/build?networkmode=container:{new string('2', 64)}",
                    "/build?networkmode=",
                ]
        )
            Assert.That(await AskAsync(NoHost, "POST", fine, engine: engine), Is.EqualTo("allowed"), fine);
    }

    [TestCase("/build?cgroupparent=/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")]
    [TestCase(
        "/v1.41/build?t=x&%63groupparent=x&cgroupparent=docker%2F0123456789abcdef0123456789abcdef"
            + "0123456789abcdef0123456789abcdef/x"
    )]
    public async Task A_build_in_a_containers_control_group_is_refused(string uri)
    {
        Assert.That(
            await AskAsync(null, "POST", uri),
            Does.Contain(
                "is another container's control group, and that one would be charged for this one's GPU "
                    + "memory: leave it out"
            )
        );
        Assert.That(await AskAsync(null, "POST", "/build?cgroupparent=/mine"), Is.EqualTo("allowed"));
    }

    [Test]
    public async Task Anybody_may_remove_other_volumes() =>
        Assert.That(await AskAsync(Closed, "DELETE", "/v1.51/volumes/data"), Is.EqualTo("allowed"));

    [Test]
    public async Task An_anonymous_volume_needs_no_body() =>
        Assert.That(await AskAsync(Closed, "POST", "/v1.51/volumes/create"), Is.EqualTo("allowed"));

    [TestCase(
        "DELETE",
        "/containers/web/checkpoints/docker?dir=/etc",
        null,
        "checkpoints in the host's /etc are not allowed on this machine: leave the folder out"
    )]
    [TestCase(
        "DELETE",
        "/v1.41/containers/web/%63heckpoints/docker?d%69r=%2Fetc",
        null,
        "checkpoints in the host's /etc are not allowed on this machine: leave the folder out"
    )]
    [TestCase(
        "DELETE",
        "/containers/web/checkpoints/docker?dir=/home/bob&dir=/etc",
        null,
        "checkpoints in the host's /etc are not allowed on this machine: leave the folder out"
    )]
    [TestCase(
        "GET",
        "/containers/web/checkpoints?dir=/root",
        null,
        "checkpoints in the host's /root are not allowed on this machine: leave the folder out"
    )]
    [TestCase(
        "POST",
        "/containers/web/checkpoints",
        """{"CheckpointID":"a","CheckpointDir":"/etc"}""",
        "checkpoints in the host's /etc are not allowed on this machine: leave the folder out"
    )]
    [TestCase(
        "POST",
        "/containers/web/checkpoints",
        """{"CheckpointID":"a","checkpointdir":"/etc"}""",
        "checkpoints in the host's /etc are not allowed on this machine: leave the folder out"
    )]
    [TestCase(
        "POST",
        "/containers/web/checkpoints",
        null,
        "the body of this checkpoint call is ambiguous, so it is refused: the engine did not " + "pass it on"
    )]
    [TestCase(
        "POST",
        "/containers/web/checkpoints",
        """{"CheckpointID":"a","CheckpointDir":"","Exit":true}""",
        "allowed"
    )]
    [TestCase("POST", "/containers/web/checkpoints", """{"CheckpointID":"a","CheckpointDir":"/home/bob"}""", "allowed")]
    [TestCase("DELETE", "/containers/web/checkpoints/a", null, "allowed")]
    [TestCase("GET", "/containers/web/checkpoints", null, "allowed")]
    [TestCase("DELETE", "/containers/web?dir=/etc", null, "allowed")]
    public async Task A_checkpoint_does_not_reach_the_hosts_folders(
        string method,
        string uri,
        string? body,
        string answer
    )
    {
        Assert.That(await AskAsync(Closed, method, uri, body), Is.EqualTo(answer));
        foreach (var (policy, user) in ((string?, string)[])[(Closed, "ops"), ("{}", ""), (null, "")])
            Assert.That(await AskAsync(policy, method, uri, body, user), Is.EqualTo("allowed"));
    }

    [TestCase(
        "LD_PRELOAD=/x.so",
        "the container's quota is loaded by LD_PRELOAD, and this exec changes it: write -e "
            + "LD_PRELOAD=/runai/librunai.so:… with what you add"
    )]
    [TestCase(
        "LD_PRELOAD=",
        "the container's quota is loaded by LD_PRELOAD, and this exec changes it: write -e "
            + "LD_PRELOAD=/runai/librunai.so:… with what you add"
    )]
    [TestCase("LD_PRELOAD=/x.so:/runai/librunai.so", "allowed")]
    [TestCase("LD_LIBRARY_PATH=/x", "allowed")]
    [TestCase("LD_PRELOADED=/x.so", "allowed")]
    [TestCase(
        "LD_PRELOAD",
        "the container's quota is loaded by LD_PRELOAD, and this exec changes it: write -e "
            + "LD_PRELOAD=/runai/librunai.so:… with what you add"
    )]
    [TestCase(
        "LD_PRELOAD=/x.so\",\"LD_PRELOADED=/runai/librunai.so",
        "the container's quota is loaded by LD_PRELOAD, and this exec changes it: write -e "
            + "LD_PRELOAD=/runai/librunai.so:… with what you add"
    )]
    [TestCase(
        "LD_PRELOAD=/runai/librunai.so\",\"LD_PRELOAD=/x.so",
        "the container's quota is loaded by LD_PRELOAD, and this exec changes it: write -e "
            + "LD_PRELOAD=/runai/librunai.so:… with what you add"
    )]
    public async Task An_exec_cannot_leave_the_shim_out(string env, string answer)
    {
        var engine = new FakeEngine();
        engine.Containers["1"] = new()
        {
            Id = "1",
            Name = "/web",
            Config = new()
            {
                Env = ["LD_PRELOAD=/runai/librunai.so"],
                Labels = new Dictionary<string, string> { ["gpu-memory"] = "0.5" },
            },
            Mounts =
            [
                new()
                {
                    Type = "volume",
                    Name = "runai",
                    Driver = "runai/gpu-memory",
                    Destination = "/runai",
                },
            ],
        };
        Assert.That(
            await AskAsync(null, "POST", "/v1.51/containers/web/exec", $$"""{"Env":["{{env}}"]}""", engine: engine),
            Is.EqualTo(answer)
        );
    }

    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"CapabilityAdd":["SYS_ADMIN"]}}}""",
        7ul,
        "--rollback brings back what you could not ask for yourself: --cap-add SYS_ADMIN is not allowed on "
            + "this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"TaskTemplate":{"PluginSpec":{}}}""",
        7ul,
        "--rollback brings back what you could not ask for yourself: only admins may change plugins on this machine"
    )]
    [TestCase(
        """{"TaskTemplate":{},"tasktemplate":{}}""",
        7ul,
        "what the service web was before cannot be read (the key TaskTemplate appears twice): update it to what "
            + "you want, without --rollback"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{}}}""",
        8ul,
        "the service web is being changed by another caller: try again"
    )]
    [TestCase("""{"TaskTemplate":{"ContainerSpec":{}}}""", 7ul, "allowed")]
    [TestCase(null, 7ul, "allowed")]
    public async Task A_rollback_is_judged_by_what_it_restores(string? previous, ulong version, string answer)
    {
        var engine = new FakeEngine
        {
            Previous = new(version, previous is null ? null : Encoding.UTF8.GetBytes(previous)),
        };
        const string Body = """{"TaskTemplate":{"ContainerSpec":{}}}""";
        Assert.That(
            await AskAsync(
                Closed,
                "POST",
                "/v1.51/services/web/update?version=7&rollback=previous",
                Body,
                engine: engine
            ),
            Is.EqualTo(answer)
        );
        Assert.That(
            await AskAsync(
                Closed,
                "POST",
                "/v1.51/services/web/update?rollback=previous&version=7",
                Body,
                engine: new() { Failure = new("no") }
            ),
            Does.Contain("could not learn from the engine")
        );
        Assert.That(
            await AskAsync(Closed, "POST", "/v1.51/services/web/update?version=7", Body, engine: engine),
            Is.EqualTo("allowed"),
            "no rollback"
        );
        Assert.That(
            await AskAsync(
                null,
                "POST",
                "/v1.51/services/web/update?version=7&rollback=previous",
                Body,
                engine: engine
            ),
            Is.EqualTo("allowed"),
            "no policy"
        );
    }

    [TestCase(64 << 10, "", "allowed")]
    [TestCase(
        (64 << 10) + 1,
        "",
        "the body of this network connect call has 65537 bytes, and at most 65536 are allowed on this machine: "
            + "give the container fewer aliases and driver options"
    )]
    [TestCase((64 << 10) + 1, "ada", "allowed")]
    [TestCase((64 << 10) + 1, "ops", "allowed")]
    public async Task The_names_of_a_container_in_networks_are_bounded(int bytes, string user, string answer)
    {
        const string Uri = "/v1.51/networks/lab/connect";
        var body = """{"Container":"x"}""".PadRight(bytes);
        Assert.That(await AskAsync(Closed, "POST", Uri, body, user), Is.EqualTo(answer));
        Assert.That(await AskAsync(null, "POST", Uri, body, user), Is.EqualTo("allowed"));
        Assert.That(await AskAsync("{}", "POST", Uri, body), Is.EqualTo("allowed"), "an admin's socket");
    }

    const string Service = "/v1.51/services/create";

    [TestCase("""{"TaskTemplate":{"ContainerSpec":{},"Networks":[{"Target":"host"}]}}""")]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{},"Networks":[null,{"Target":"q3x"},{"Target":"7yv","Aliases":["a"]}]}}"""
    )]
    [TestCase("""{"TaskTemplate":{"ContainerSpec":{}},"Networks":[{"Target":"7yv"}]}""")]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{},"Networks":[{"Target":"q3x"},{"Target":"none"},{"Target":""}]}}""",
        "allowed"
    )]
    public async Task A_service_on_the_hosts_network_is_refused(
        string body,
        string answer = "--network host is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )
    {
        const string Policy = """{"allowHostNamespaces":false,"exempt":{"users":["ops"]}}""";
        var engine = new FakeEngine { Networks = { ["7yv"] = "host", ["q3x"] = "web" } };
        Assert.That(await AskAsync(Policy, "POST", Service, body, engine: engine), Is.EqualTo(answer));
        Assert.That(
            await AskAsync(Policy, "POST", "/v1.51/services/0123/update?version=7", body, engine: engine),
            Is.EqualTo(answer)
        );
        Assert.That(await AskAsync(Policy, "POST", Service, body, "ops", engine), Is.EqualTo("allowed"));
        Assert.That(await AskAsync("{}", "POST", Service, body, engine: engine), Is.EqualTo("allowed"));
    }

    [Test]
    public async Task An_unknown_network_is_refused_only_where_it_matters()
    {
        const string Body = """{"TaskTemplate":{"ContainerSpec":{},"Networks":[{"Target":"7yv"}]}}""";
        var engine = new FakeEngine { Failure = new("no") };
        Assert.That(
            await AskAsync("""{"allowHostNamespaces":false}""", "POST", Service, Body, engine: engine),
            Is.EqualTo(
                "the GPU memory plugin could not learn from the engine what is asked for, so the call is "
                    + "refused: try again"
            )
        );
        Assert.That(await AskAsync("{}", "POST", Service, Body, engine: engine), Is.EqualTo("allowed"));
        Assert.That(
            await AskAsync("""{"mode":"audit","allowHostNamespaces":false}""", "POST", Service, Body, engine: engine),
            Is.EqualTo("allowed")
        );
    }

    [TestCase(
        "cuda",
        "a container with a GPU (NVIDIA_VISIBLE_DEVICES=all) needs a quota on this machine: add --mount "
            + "type=volume,src=runai,dst=/runai --container-label gpu-memory=0.5"
    )]
    [TestCase(
        "swarm",
        "a container with a GPU (DOCKER_RESOURCE_GPU=0) needs a quota on this machine: add --mount "
            + "type=volume,src=runai,dst=/runai --container-label gpu-memory=0.5"
    )]
    [TestCase("labelled", "allowed")]
    [TestCase("exempt", "allowed")]
    [TestCase("elsewhere", "allowed")]
    public async Task A_service_is_judged_by_its_local_image(string image, string answer)
    {
        var engine = new FakeEngine
        {
            Info = new() { DefaultRuntime = "nvidia" },
            Images =
            {
                ["cuda"] = new() { Config = new() { Env = ["NVIDIA_VISIBLE_DEVICES=all"] } },
                ["swarm"] = new() { Config = new() { Env = ["DOCKER_RESOURCE_GPU=0"] } },
                ["labelled"] = new()
                {
                    Config = new() { Labels = new Dictionary<string, string> { ["gpu-memory"] = "0.5" } },
                },
                ["exempt"] = new()
                {
                    Id = ExemptId,
                    Config = new() { Env = ["NVIDIA_VISIBLE_DEVICES=all"] },
                },
            },
        };
        const string Policy = $$$"""{"requireQuota":true,"exempt":{"images":["{{{ExemptId}}}"]}}""";
        var body = $$$"""{"TaskTemplate":{"ContainerSpec":{"Image":"{{{image}}}"} } }""";
        Assert.That(await AskAsync(Policy, "POST", Service, body, engine: engine), Is.EqualTo(answer));
        engine.Failure = new("no");
        Assert.That(
            await AskAsync(Policy, "POST", Service, body, engine: engine),
            Does.Contain("could not learn from the engine"),
            "a task that runs can only be reported or stopped"
        );
        Assert.That(
            await AskAsync(null, "POST", Service, body, engine: engine),
            Is.EqualTo("allowed"),
            "no rule needs it"
        );
    }

    [Test]
    public async Task The_policy_decides_on_unknown_routes()
    {
        Assert.That(
            await AskAsync(Closed, "POST", "/v1.99/gpus/grab"),
            Is.EqualTo(
                "the GPU memory plugin does not know POST /gpus/grab, and the policy of this machine refuses "
                    + "what it does not know"
            )
        );
        Assert.That(await AskAsync("{}", "POST", "/v1.99/gpus/grab"), Is.EqualTo("allowed"));
        Assert.That(await AskAsync(null, "GET", "/v1.99/gpus"), Is.EqualTo("allowed"));
    }
}
