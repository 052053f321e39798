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

    const string Closed =
        """{"localSocket":"user","admins":["ada"],"allowPrivileged":false,"allowBindMounts":["/home/*"],"unknownRoutes":"deny","exempt":{"users":["ops"]}}""";

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

    [TestCase(
        """{"Name":"runai","Driver":"local"}""",
        "the volume runai is the GPU memory plugin's: take another name"
    )]
    [TestCase(
        """{"Name":"runai","name":"x"}""",
        "the body of this volume call is ambiguous, so it is refused: the key Name appears twice"
    )]
    [TestCase(
        """{"name":"runai","DRIVER":"local"}""",
        "the volume runai is the GPU memory plugin's: take another name"
    )]
    [TestCase("{", "the body of this volume call is ambiguous, so it is refused: it is not strict JSON")]
    [TestCase("""{"Name":"new","Driver":"runai/gpu-memory","DriverOpts":{"gpu-memory":"0.5"}}""", "allowed")]
    [TestCase("""{"Name":"data","Driver":"local","DriverOpts":null,"Labels":{}}""", "allowed")]
    [TestCase("""{"Name":"share","DriverOpts":{"type":"nfs","device":":/export"}}""", "allowed")]
    [TestCase("""{"Name":"mine","DriverOpts":{"type":"none","o":"bind","device":"/home/bob"}}""", "allowed")]
    [TestCase(
        """{"Name":"evil","DriverOpts":{"type":"none","o":"bind","device":"/home/../dev"}}""",
        "a volume of the host's /home/../dev is not allowed on this machine: mount /home/* as a whole, or use a volume"
    )]
    [TestCase(
        """{"Name":"evil","DriverOpts":{"type":"binfmt_misc","device":"/home/bob"}}""",
        "a local volume with type=binfmt_misc is not allowed on this machine: use type nfs,"
    )]
    [TestCase(
        """{"Name":"share","DriverOpts":{"type":"cifs","o":"username=bob,password=x:/etc","device":"//nas/share"}}""",
        "allowed"
    )]
    [TestCase("""{"Name":"pool","DriverOpts":{"type":"ceph","o":"secret=x","device":"10.0.0.1:6789:/"}}""", "allowed")]
    public async Task A_volume_does_not_avoid_the_policy(string body, string answer) =>
        Assert.That(await AskAsync(Closed, "POST", "/v1.51/volumes/create", body), Does.StartWith(answer));

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
        """{"Privileged":true,"Cmd":["sh"]}""",
        Closed,
        "",
        "docker exec --privileged is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase("""{"Privileged":true,"Cmd":["sh"]}""", Closed, "ops", "allowed")]
    [TestCase("""{"Privileged":true,"Cmd":["sh"]}""", null, "", "allowed")]
    [TestCase("""{"Privileged":true,"Cmd":["sh"]}""", """{"mode":"audit","allowPrivileged":false}""", "", "allowed")]
    [TestCase(
        """{"privileged":true}""",
        Closed,
        "",
        "docker exec --privileged is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"AttachStdin":true,"Tty":true,"Cmd":["sh"],"Env":["A=b"],"Privileged":false}""",
        Closed,
        "",
        "allowed"
    )]
    public async Task An_exec_is_judged_by_its_body(string body, string? policy, string user, string answer) =>
        Assert.That(await AskAsync(policy, "POST", "/v1.51/containers/web/exec", body, user), Is.EqualTo(answer));

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
        """{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"debian","Labels":{"gpu-memory":"0.5"}}}}""",
        "gpu-memory=0.5 needs the runai volume: add --mount type=volume,src=runai,dst=/runai"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Env":["LD_PRELOAD=/runai/librunai.so"],"Labels":{"gpu-memory":"0.5"},"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai"}]}}}""",
        "allowed"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Env":["LD_PRELOAD=/usr/lib/x.so"],"Labels":{"gpu-memory":"0.5"},"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai"}]}}}""",
        "swarm starts tasks before /etc/ld.so.preload can be put into them, so nothing would limit their first "
            + "program: add --env LD_PRELOAD=/runai/librunai.so (docker service update: --env-add)"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Labels":{"gpu-memory":"0.5","com.docker.stack.namespace":"lab"},"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai"}]}}}""",
        "swarm starts tasks before /etc/ld.so.preload can be put into them, so nothing would limit their first "
            + "program: add LD_PRELOAD: /runai/librunai.so to the environment of the service"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Labels":{"gpu-memory":"0.5"},"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai"},{"Type":"volume","Source":"runai","Target":"/etc/ld.so.preload","VolumeOptions":{"Subpath":"ld.so.preload"}}]}}}""",
        "allowed"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"bind","Source":"/dev","Target":"/dev"}]}}}""",
        "a mount of the host's /dev is not allowed on this machine: mount /home/* as a whole, or use a volume"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Source":"/","Target":"/x"}]}}}""",
        "a mount of the host's / is not allowed on this machine: mount /home/* as a whole, or use a volume"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[null,{"Type":"","Source":"/","Target":"/x"}]}}}""",
        "a mount of the host's / is not allowed on this machine"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"Bind","Source":"/run","Target":"/x"}]}}}""",
        "a mount of the host's /run is not allowed on this machine"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"b\u0131nd","Source":"/run","Target":"/x"}]}}}""",
        "a mount of the host's /run is not allowed on this machine"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"VOLUME","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/etc"}}}}]}}}""",
        "a mount of the host's /etc is not allowed on this machine"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Env":["LD_PRELOAD=/runai/librunai.so"],"Labels":{"gpu-memory":"0.5"},"Mounts":[{"Type":"VOLUME","Source":"runai","Target":"/runai"},{"Type":"Tmpfs","Target":"/x"}]}}}""",
        "allowed"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"bind","Source":"/home/{{.Service.Name}}","Target":"/x"}]}}}""",
        "a mount of the host's \"/home/{{.Service.Name}}\" is not allowed on this machine"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"bind","Source":"/home/{{printf \"bob%c..%c..%cetc\" 47 47 47}}","Target":"/x"}]}}}""",
        "a mount of the host's"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"nfs","o":"{{print \"bind\"}}","device":"/etc"}}}}]}}}""",
        "a local volume with \"o={{…}}\" is not allowed on this machine: swarm would fill it in later, so write it out"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"nfs","o":"addr={{.Service.Labels.nas}}","device":":/x"}}}}]}}}""",
        "a local volume with \"o=addr={{…}}\" is not allowed on this machine"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"{{print \"none\"}}","o":"rw","device":""}}}}]}}}""",
        "a local volume with \"type={{…}}\" is not allowed on this machine"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"{{.Service.Name}}-{{.Task.Slot}}","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"nfs","o":"addr=nas,rw","device":":/export/{{.Task.Slot}}"}}}}]}}}""",
        "allowed"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"CapabilityAdd":["CAP_\u017fYS_ADMIN"]}}}""",
        "--cap-add \"CAP_ſYS_ADMIN\" is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"CapabilityAdd":["CAP_SYS_ADMIN"]}}}""",
        "--cap-add CAP_SYS_ADMIN is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"half","Target":"/runai"}],"Configs":[{"File":{"Name":"/etc/ld.so.preload"},"ConfigName":"x"}]}}}""",
        "the mount at /etc/ld.so.preload covers /etc/ld.so.preload, which loads the quota: remove it,"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"half","Target":"/runai"}],"Configs":[{"File":{"Name":"etc/ld.so.preload"},"ConfigName":"x"}]}}}""",
        "the mount at /etc/ld.so.preload covers /etc/ld.so.preload, which loads the quota: remove it,"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"half","Target":"/runai"}],"Secrets":[{"File":{"Name":"../../etc/ld.so.preload"},"SecretName":"x"}]}}}""",
        "the mount at /etc/ld.so.preload covers /etc/ld.so.preload, which loads the quota: remove it,"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"half","Target":"/run"}],"Secrets":[{"File":{"Name":"usage"},"SecretName":"x"}]}}}""",
        "the mount at /run/secrets/usage would cover the half volume at /run: remove it or move it"
    )]
    [TestCase(
        """{"TaskTemplate":{"Runtime":"plugin","PluginSpec":{"Name":"evil","Remote":"evil/root"}}}""",
        "only admins may change plugins on this machine"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Privileges":{"Seccomp":{"Mode":"unconfined"}}}}}""",
        "--security-opt seccomp=unconfined is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Privileges":{"Seccomp":{"Mode":"custom","Profile":"e30="}}}}}""",
        "--security-opt seccomp=custom is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Privileges":{"AppArmor":{"Mode":"disabled"}}}}}""",
        "--security-opt apparmor=disabled is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Privileges":{"SELinuxContext":{"Disable":true}}}}}""",
        "--security-opt label=disable is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Privileges":{"SELinuxContext":{"Type":"spc_t"}}}}}""",
        "--security-opt label=type:spc_t is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"TaskTemplate":{"ContainerSpec":{"Privileges":{"CredentialSpec":null,"SELinuxContext":{"Disable":false,"User":"","Role":"","Type":"","Level":""},"Seccomp":{"Mode":"default"},"AppArmor":{"Mode":"default"},"NoNewPrivileges":true}}}}""",
        "allowed"
    )]
    [TestCase(
        """{"tasktemplate":{"containerspec":{"privileges":{"seccomp":{"mode":"unconfined"}}}}}""",
        "--security-opt seccomp=unconfined is not allowed on this machine: leave it out, or ask an admin to exempt you"
    )]
    [TestCase(
        """{"TaskTemplate":{"containerspec":{},"ContainerSpec":{}}}""",
        "the body of this service call is ambiguous, so it is refused: the key "
            + "TaskTemplate.ContainerSpec appears twice"
    )]
    [TestCase("""{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"debian"}}}""", "allowed")]
    public async Task A_service_is_judged_by_its_tasks(string body, string answer)
    {
        Assert.That(await AskAsync(Closed, "POST", "/v1.51/services/create", body), Does.StartWith(answer));
        Assert.That(
            await AskAsync(Closed, "POST", "/v1.51/services/0123/update?version=7", body),
            Does.StartWith(answer)
        );
    }

    [TestCase(
        "/v1.44/services/create",
        "this engine, or the API version of this call, knows no volume-subpath (Docker 26 and newer do, from "
            + "API 1.45 on), so the whole runai volume would be at /etc/ld.so.preload: leave that mount out"
    )]
    [TestCase("/v1.45/services/create", "allowed")]
    [TestCase("/services/create", "allowed")]
    public async Task A_subpath_counts_where_the_engine_reads_it(string target, string answer) =>
        Assert.That(
            await AskAsync(
                null,
                "POST",
                target,
                """{"TaskTemplate":{"ContainerSpec":{"Labels":{"gpu-memory":"0.5"},"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai"},{"Type":"volume","Source":"runai","Target":"/etc/ld.so.preload","VolumeOptions":{"Subpath":"ld.so.preload"}}]}}}"""
            ),
            Does.StartWith(answer)
        );

    [TestCase(
        "{}",
        "",
        "write --container-label gpu-memory=0.5 in place of --label",
        "write --label-rm gpu-memory --container-label-add gpu-memory=0.5"
    )]
    [TestCase(
        """{"gpu-memory":"0.25"}""",
        "",
        "write --container-label gpu-memory=0.5 in place of --label",
        "write --label-rm gpu-memory --container-label-add gpu-memory=0.5"
    )]
    [TestCase(
        """{"com.docker.stack.namespace":"lab"}""",
        ""","com.docker.stack.namespace":"lab" """,
        "write gpu-memory under labels of the service in the file, not under labels of its deploy"
    )]
    [TestCase("""{"gpu-memory":"0.5"}""", "", null)]
    public async Task A_quota_on_the_service_alone_is_refused(
        string ofContainer,
        string more,
        string? onCreate,
        string? onUpdate = null
    )
    {
        var body =
            $$$"""{"Name":"web","Labels":{"gpu-memory":"0.5"{{{more}}} },"TaskTemplate":{"ContainerSpec":{"Env":["LD_PRELOAD=/runai/librunai.so"],"Labels":{{{ofContainer}}},"Mounts":[{"Type":"volume","Source":"half","Target":"/runai"}]} } }""";
        string Answer(string? remedy) =>
            remedy is null
                ? "allowed"
                : "gpu-memory=0.5 is a label of the service, which its containers do not have, so nothing would "
                    + $"limit them: {remedy}";
        Assert.That(await AskAsync(null, "POST", Service, body), Is.EqualTo(Answer(onCreate)));
        Assert.That(
            await AskAsync(null, "POST", "/v1.51/services/0123/update?version=7", body),
            Is.EqualTo(Answer(onUpdate ?? onCreate))
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
