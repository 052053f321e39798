// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>People share the docker group, and the policy closes the ways to root on the host: each of them, when a
/// container is created, and when one starts that was created before.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class HostAccessTests(string version) : PolicyFixture(version)
{
    static readonly string Shared = Path.Combine(Repository.Build, "shared");

    protected override string PolicyFile =>
        $$"""{ "requireQuota": true, "localSocket": "user", "allowPrivileged": false, "allowHostNamespaces": false, "allowBindMounts": ["{{Shared}}"], "unknownRoutes": "deny" }""";

    protected override string[] Flags => ["--experimental"];

    /// <summary>What is the host's, and leads to more of it.</summary>
    static readonly string[] Paths =
    [
        "/",
        "/run",
        "/var/run",
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/proc",
        "/proc/1/root",
        "/sys",
        "/sys/fs/cgroup",
        "/dev",
        "/dev/nvidia0",
        "/etc",
        "/etc/docker",
        "/etc/cdi",
        "/var/lib/docker",
        "/var/lib/docker/plugins",
        "/root",
        "/tmp",
        Path.GetDirectoryName(Shared)!,
        Shared + "/..",
        Shared + "/link",
        Shared + "/link/etc",
        Shared + "/folder",
        Shared + "x",
        Shared + "/./../",
    ];

    IEnumerable<(string Rule, Body Body)> Configurations()
    {
        yield return ("privileged", Body.Plain.Privileged());
        foreach (
            var capability in (string[])
                [
                    "ALL",
                    "all",
                    "SYS_ADMIN",
                    "CAP_SYS_ADMIN",
                    "cap_sys_admin",
                    "SYS_PTRACE",
                    "SYS_MODULE",
                    "SYS_RAWIO",
                    "SYS_BOOT",
                    "MKNOD",
                    "DAC_READ_SEARCH",
                    "BPF",
                    "PERFMON",
                    "CHECKPOINT_RESTORE",
                ]
        )
            yield return ("cap-add", Body.Plain.HostList("CapAdd", "NET_ADMIN", capability));
        foreach (
            var option in (string[])
                [
                    "seccomp=unconfined",
                    "seccomp:unconfined",
                    """seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}""",
                    "apparmor=unconfined",
                    "apparmor=another",
                    "label=disable",
                    "label:disable",
                    "disable",
                    "label=type:spc_t",
                ]
        )
            yield return ("security-opt", Body.Plain.HostList("SecurityOpt", "no-new-privileges", option));
        yield return ("security-opt", Body.Plain.HostList("ReadonlyPaths"));
        yield return ("security-opt", Body.Plain.HostList("MaskedPaths").HostList("ReadonlyPaths"));
        yield return ("security-opt", Body.Plain.HostList("ReadonlyPaths", "/proc/bus"));
        if (Engine.Major > 20)
            yield return (
                "--annotation",
                Body.Plain.Host(""" "Annotations":{"org.systemd.property.PIDs":"[uint32 1]"} """)
            );
        foreach (var rule in (string[])["a *:* rwm", "c 195:* rwm", "b 8:0 rwm", "c 1:3 r"])
            yield return ("device-cgroup-rule", Body.Plain.HostList("DeviceCgroupRules", rule));
        foreach (
            var node in (string[])
                [
                    "/dev/disk",
                    "dev/disk",
                    "/dev/by-name",
                    "/dev/mem",
                    "/dev/kmsg",
                    "/dev/console",
                    "/dev",
                    "/dev/none",
                    "/proc/1/root/dev/disk",
                ]
        )
            yield return ("--device", Body.Plain.Device(node));
        foreach (
            var (flag, key) in ((string, string)[])
                [
                    ("pid", "PidMode"),
                    ("ipc", "IpcMode"),
                    ("userns", "UsernsMode"),
                    ("cgroupns", "CgroupnsMode"),
                    ("network", "NetworkMode"),
                ]
        )
            yield return (flag, Body.Plain.Host(key, "host"));
        foreach (var path in Paths)
        {
            yield return ("a mount of the host's", Body.Plain.Binds($"{path}:/x"));
            yield return (
                "a mount of the host's",
                Body.Plain.Mount($$""" "Type":"bind","Source":"{{path}}","Target":"/x" """)
            );
            yield return (
                "a mount of the host's",
                Body.Plain.LocalVolume($$""" "type":"none","o":"rbind","device":"{{path}}" """)
            );
        }
        foreach (
            var options in (string[])
                [
                    "\"type\":\"devtmpfs\",\"device\":\"x\"",
                    "\"type\":\"proc\",\"device\":\"x\"",
                    "\"type\":\"overlay\",\"device\":\"overlay\",\"o\":\"lowerdir=etc:root\"",
                ]
        )
            yield return ("a local volume with type=", Body.Plain.LocalVolume(options, "made"));
        foreach (
            var options in (string[])
                ["\"type\":\"none\",\"o\":\"bind\",\"device\":\"etc\"", "\"type\":\"ext4\",\"device\":\"/dev/vda\""]
        )
            yield return ("a mount of the host's", Body.Plain.LocalVolume(options, "other"));
        yield return ("a mount of the host's", Body.Plain.Binds("/etc:/x:ro"));
        yield return ("a mount of the host's", Body.Plain.HostList("VolumesFrom", "giver"));
        yield return ("a mount of the host's", OldVolume);
    }

    /// <summary>What a volume shows of the host is looked at when a container starts.</summary>
    static readonly Body OldVolume = Body.Plain.Binds("hostly:/x");

    /// <summary>On cgroup v1 the engine writes it into every container, so it is looked at in the body alone.</summary>
    static readonly Body CgroupNamespace = Body.Plain.Host("CgroupnsMode", "host");

    static string Inline(string options) =>
        $$$"""
            "Type":"volume","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{ {{{options}}} } } }
            """;

    RawAnswer Make(Body body) => Engine.Raw("POST", "/containers/create", body.Bytes);

    /// <summary>With all the ways open: a time before the policy.</summary>
    void Open()
    {
        Engine.WritePolicy("{}");
        Eventually(() => Make(Body.Plain.Privileged()).Status == 201, "without a policy all is allowed");
    }

    void Close()
    {
        Engine.WritePolicy(PolicyFile);
        Eventually(() => Attempt.IsRefusal(Make(Body.Plain.Privileged())), "the policy is back");
    }

    [OneTimeSetUp]
    public void MakeSurroundings()
    {
        Directory.CreateDirectory(Path.Combine(Shared, "folder"));
        File.Delete(Path.Combine(Shared, "link"));
        File.CreateSymbolicLink(Path.Combine(Shared, "link"), "/");
    }

    [Test]
    public void Host_access_is_refused_at_create_and_at_start()
    {
        Open();
        Engine.Docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/etc", "hostly").Ok();
        Engine.Docker("create", "--name", "giver", "--network", "none", "-v", "/etc:/x", Image, "true").Ok();
        var before = Configurations().Select(c => (c.Rule, c.Body, Created: Make(c.Body))).ToArray();
        Assert.That(before.Where(c => c.Created.Status is not (201 or 400)), Is.Empty, "the engine's own answers");
        Assert.That(
            before.Count(c => c.Created.Status == 201),
            Is.GreaterThan(before.Length * 9 / 10),
            string.Join('\n', before.Where(c => c.Created.Status != 201))
        );
        Close();
        Assert.Multiple(() =>
        {
            foreach (var (rule, body, created) in before)
            {
                var now = Make(body);
                if (body != OldVolume)
                    Assert.That(
                        Attempt.IsRefusal(now) && now.Body.Contains(rule, StringComparison.Ordinal),
                        $"{body}: {now}"
                    );
                if (created.Status != 201 || body == CgroupNamespace)
                    continue;
                var started = Engine.Raw("POST", $"/containers/{Attempt.IdIn(created.Body)}/start");
                Assert.That(
                    Attempt.IsRefusal(started) && started.Body.Contains(rule, StringComparison.Ordinal),
                    $"{body}, at the start: {started}"
                );
            }
        });
        Assert.That(Engine.Docker("ps", "-q").Ok(), Is.Empty);
    }

    [Test]
    public void Ordinary_containers_run()
    {
        foreach (
            var body in (Body[])
                [
                    Body.Plain.Host("\"Privileged\":false"),
                    Body.Plain.Binds($"{Shared}:/x"),
                    Body.Plain.Binds($"{Shared}/:/x:ro", "data:/y"),
                    Body.Plain.HostList("CapAdd", "NET_ADMIN").HostList("CapDrop", "ALL"),
                    Body.Plain.HostList("SecurityOpt", "no-new-privileges:true"),
                    Body.Plain.Host("\"MaskedPaths\":null,\"ReadonlyPaths\":null"),
                    Body.Plain.Host("PidMode", "").Host("IpcMode", "private").Host("CgroupnsMode", "private"),
                    Body.Plain.Host(""" "Tmpfs":{"/x":"size=1m"} """),
                    Body.Plain.Device("/dev/full"),
                    Body.Plain.Mount($$""" "Type":"bind","Source":"{{Shared}}","Target":"/x" """),
                    Body.Plain.LocalVolume(""" "type":"tmpfs","device":"tmpfs","o":"size=1m" """),
                ]
        )
        {
            var created = Make(body);
            Assert.That(created.Status, Is.EqualTo(201), $"{body}: {created}");
            var started = Engine.Raw("POST", $"/containers/{Attempt.IdIn(created.Body)}/start");
            Assert.That(started.Status, Is.EqualTo(204), $"{body}: {started}");
        }
    }

    /// <summary>A container that has the shared folder can make a link there; the engine would follow it.</summary>
    [Test]
    public void A_link_that_a_container_makes_leads_nowhere()
    {
        Engine
            .Docker(
                "run",
                "--rm",
                "--network",
                "none",
                "-v",
                $"{Shared}:/shared",
                Image,
                "ln",
                "-sfn",
                "/etc",
                "/shared/made"
            )
            .Ok();
        var refused = Engine.Docker("run", "--rm", "--network", "none", "-v", $"{Shared}/made:/x", Image, "ls", "/x");
        Assert.That(refused.Error, Does.Contain("denied by plugin").And.Contain("a mount of the host's"));
        Assert.That(
            Engine
                .Docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", $"device={Shared}/made", "linked")
                .Error,
            Does.Contain("denied by plugin")
        );
    }

    [TestCase("pid", "--pid", "container:sharing")]
    [TestCase("ipc", "--ipc", "container:sharing")]
    [TestCase("net", "--network", "container:sharing")]
    [TestCase("net", "--network", "{0}")]
    [TestCase("net", "--network", "{1}")]
    public void The_hosts_namespaces_do_not_come_through_others(string space, string flag, string value)
    {
        Open();
        Engine
            .Docker(
                "run",
                "-d",
                "--name",
                "sharing",
                "--pid",
                "host",
                "--ipc",
                "host",
                "--network",
                "host",
                Image,
                "sleep",
                "300"
            )
            .Ok();
        Close();
        var hosts = Engine.Docker("network", "inspect", "-f", "{{.Id}}", "host").Ok();
        string[] network = flag == "--network" ? [] : ["--network", "none"];
        Engine.Docker([
            "run",
            "-d",
            "--name",
            "joined",
            .. network,
            flag,
            value.Replace("{0}", hosts, StringComparison.Ordinal).Replace("{1}", hosts[..12], StringComparison.Ordinal),
            Image,
            "sleep",
            "300",
        ]);
        var pid = Engine.Docker("inspect", "-f", "{{.State.Pid}}", "joined") is { Code: 0 } inspected
            ? inspected.Ok()
            : "0";
        if (pid != "0")
            Assert.That(NamespaceOf(pid, space), Is.Not.EqualTo(NamespaceOf($"{Engine.Daemon}", space)));
    }

    [Test]
    public void A_build_does_not_get_the_hosts_network()
    {
        using var tar = new MemoryStream();
        using (
            var writer = new System.Formats.Tar.TarWriter(tar, System.Formats.Tar.TarEntryFormat.Ustar, leaveOpen: true)
        )
            writer.WriteEntry(
                new System.Formats.Tar.UstarTarEntry(System.Formats.Tar.TarEntryType.RegularFile, "Dockerfile")
                {
                    DataStream = new MemoryStream(
                        Encoding.UTF8.GetBytes($"FROM {Image}\nRUN readlink /proc/self/ns/net\n")
                    ),
                }
            );
        foreach (
            var (target, type) in ((string, string)[])
                [
                    ("/build?networkmode=host", "application/x-tar"),
                    ("http:/build?network%6dode=%68ost", "application/x-tar"),
                    ("/build?networkmode=none", "application/x-www-form-urlencoded"),
                    ("/build?nocache=1&networkmode=none", "application/x-tar"),
                ]
        )
        {
            var built = Engine.Raw("POST", target, tar.ToArray(), $"Content-Type: {type}");
            Assert.That(built.Body, Does.Not.Contain(NamespaceOf($"{Engine.Daemon}", "net")), target);
            Assert.That(
                Attempt.IsRefusal(built),
                Is.EqualTo(!target.Contains("nocache", StringComparison.Ordinal)),
                $"{target}: {built}"
            );
        }
    }

    [Test]
    public void A_checkpoint_stays_in_the_engines_folder()
    {
        var victim = Directory.CreateDirectory(Path.Combine(Repository.Build, "victim/inner")).FullName;
        var id = Engine.Docker("create", "--network", "none", Image, "true").Ok();
        foreach (
            var (method, target, body) in ((string, string, string?)[])
                [
                    ("DELETE", $"/containers/{id}/checkpoints/inner?dir={Path.GetDirectoryName(victim)}", null),
                    ("GET", $"/v1.41/containers/{id}/checkpoints?dir={victim}", null),
                    (
                        "POST",
                        $"/containers/{id}/checkpoints",
                        $$"""{"CheckpointID":"made","CheckpointDir":"{{victim}}"}"""
                    ),
                ]
        )
            Assert.That(
                Attempt.IsRefusal(Engine.Raw(method, target, body is null ? null : Encoding.UTF8.GetBytes(body))),
                target
            );
        Assert.That(Directory.Exists(victim) && Directory.GetDirectories(victim).Length == 0);
        Assert.That(Engine.Raw("GET", $"/containers/{id}/checkpoints").Status, Is.EqualTo(200));
    }

    static string NamespaceOf(string pid, string space) => new FileInfo($"/proc/{pid}/ns/{space}").LinkTarget!;

    static string Service(string container, string task = "") =>
        $$$"""
            {"Name":"fine","Mode":{"Replicated":{"Replicas":0}},"TaskTemplate":{"ContainerSpec":{"Image":"{{{Image}}}","Command":["sleep","300"]{{{container}}}}{{{task}}}}}
            """;

    static string OnNetwork(string network) => Service("", $$""","Networks":[{"Target":"{{network}}"}]""");

    /// <summary>All that the engine takes for the host's network: its name, its ID here and in the swarm, and their
    /// beginnings.</summary>
    string[] HostNetworks()
    {
        var here = Engine.Docker("network", "inspect", "-f", "{{.Id}}", "host").Ok();
        var there = Attempt.IdIn(Engine.Raw("GET", "/networks/host?scope=swarm").Body)!;
        Assert.That(there, Is.Not.EqualTo(here));
        return ["host", here, here[..12], there, there[..12]];
    }

    [Test]
    public void Services_are_judged_and_only_admins_manage_the_swarm()
    {
        foreach (
            var (method, target) in ((string, string)[])
                [
                    ("POST", "/swarm/init"),
                    ("POST", "/v1.41/swarm/join"),
                    ("POST", "/swarm/update?version=1"),
                    ("POST", "/swarm/leave?force=1"),
                    ("POST", "/nodes/x/update?version=1"),
                    ("DELETE", "/v1.41/nodes/x"),
                    ("GET", "/swarm"),
                    ("GET", "/v1.41/swarm/unlockkey"),
                ]
        )
            Assert.That(
                Attempt.IsRefusal(Engine.Raw(method, target, method == "GET" ? null : "{}"u8.ToArray())),
                target
            );
        Open();
        Engine.Docker("swarm", "init", "--advertise-addr", "127.0.0.1").Ok();
        var networks = HostNetworks();
        foreach (var (network, n) in networks.Select((network, n) => (network, n)))
            Assert.That(
                Engine
                    .Raw(
                        "POST",
                        "/services/create",
                        Encoding.UTF8.GetBytes(OnNetwork(network).Replace("fine", $"net{n}", StringComparison.Ordinal))
                    )
                    .Status,
                Is.EqualTo(201),
                $"without a policy there is a service on {network}"
            );
        Close();
        Assert.That(
            Engine
                .Raw(
                    "POST",
                    "/services/create",
                    Encoding.UTF8.GetBytes(
                        Service(
                            ""","Env":["A=b"],"Privileges":{"NoNewPrivileges":true},"Mounts":[{"Type":"tmpfs","Target":"/x"}]"""
                        )
                    )
                )
                .Status,
            Is.EqualTo(201)
        );
        Assert.Multiple(() =>
        {
            foreach (
                var body in (string[])
                    [
                        .. networks.Select(OnNetwork),
                        Service(""","Mounts":[{"Type":"bind","Source":"/dev","Target":"/x"}]"""),
                        Service(""","Mounts":[{"Type":"bind","Source":"/run/docker.sock","Target":"/x"}]"""),
                        Service(
                            $$""","Mounts":[{ {{Inline("\"type\":\"nfs\",\"o\":\"{{print \\\"bind\\\"}}\",\"device\":\"/\"")}},"Target":"/x"}]"""
                        ),
                        Service(""","Mounts":[{"Source":"/","Target":"/x"}]"""),
                        Service(""","Mounts":[{"Type":"BIND","Source":"/","Target":"/x"}]"""),
                        Service(
                            $$""","Mounts":[{ {{Inline("\"type\":\"none\",\"o\":\"bind\",\"device\":\"/\"")}},"Target":"/x"}]"""
                        ),
                        Service(""","CapabilityAdd":["CAP_SYS_ADMIN"]"""),
                        Service(""","Privileges":{"Seccomp":{"Mode":"unconfined"}}"""),
                        Service(""","Privileges":{"AppArmor":{"Mode":"disabled"}}"""),
                        Service(""","Privileges":{"SELinuxContext":{"Disable":true}}"""),
                        Service(""","Labels":{"gpu-memory":"0.5"}"""),
                        Service(
                            ""","Labels":{"gpu-memory":"0.5"},"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai"}],"Configs":[{"File":{"Name":"etc/ld.so.preload"},"ConfigID":"x","ConfigName":"x"}]"""
                        ),
                        Service(
                            ""","Labels":{"gpu-memory":"0.5"},"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai"}],"Secrets":[{"File":{"Name":"../../etc/ld.so.preload"},"SecretID":"x","SecretName":"x"}]"""
                        ),
                        Service("", ""","Runtime":"plugin","PluginSpec":{"Name":"evil","Remote":"evil/root"}"""),
                        Service("")
                            .Replace(
                                "\"ContainerSpec\"",
                                "\"containerSpec\":{},\"ContainerSpec\"",
                                StringComparison.Ordinal
                            ),
                        Service("") + "{}",
                    ]
            )
            foreach (
                var target in (string[])
                    ["/services/create", "/v1.41/services/%63reate", "/services/fine/update?version=1"]
            )
            {
                var answer = Engine.Raw("POST", target, Encoding.UTF8.GetBytes(body));
                Assert.That(Attempt.IsRefusal(answer), $"{target} {body}: {answer}");
            }
        });
        Open();
        Engine.Docker("swarm", "leave", "--force").Ok();
        Close();
    }

    [Test]
    public void Volumes_of_the_hosts_folders_are_not_made()
    {
        foreach (var device in Paths.Append("etc").Append(".."))
            Assert.That(
                Attempt.IsRefusal(
                    Engine.Raw(
                        "POST",
                        "/volumes/create",
                        Encoding.UTF8.GetBytes(
                            $$$"""{"Name":"x","DriverOpts":{"type":"none","o":"bind","device":"{{{device}}}"}}"""
                        )
                    )
                ),
                device
            );
        Assert.That(
            Engine
                .Docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", $"device={Shared}", "shared")
                .Ok(),
            Is.EqualTo("shared")
        );
        Assert.That(
            Engine.Docker("run", "--rm", "--network", "none", "-v", "shared:/x", Image, "ls", "/x").Ok(),
            Does.Contain("folder")
        );
        Engine.Docker("volume", "rm", "shared").Ok();
    }
}
