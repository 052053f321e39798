// SPDX-License-Identifier: Apache-2.0
using System.Formats.Tar;
using System.Text;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>Ways around the strictest policy that attackers found, each on every engine: callers on the socket are
/// users, quotas are required, the ways to root are closed.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class BreachTests(string version) : PolicyFixture(version)
{
    static readonly string Shared = Path.Combine(Repository.Build, "shared-by-users");

    /// <summary>A folder of the host's with <c>secret</c> in it.</summary>
    static readonly string Private = Path.Combine(Repository.Build, "private-of-root");

    protected override string PolicyFile =>
        $$"""{ "requireQuota": true, "localSocket": "user", "allowPrivileged": false, "allowHostNamespaces": false, "allowBindMounts": ["{{Shared}}"], "overcommit": 10, "driverCapabilities": ["compute", "utility"] }""";

    /// <summary>As gVisor's is with <c>nvproxy-docker</c>.</summary>
    protected override string[] Flags =>
        ["--add-runtime", $"runsc={Path.Combine(Repository.Build, "nvidia-container-runtime")}"];

    /// <summary>What the kernel shows of itself, or keeps for all containers. With an allowed folder as its device,
    /// which it does not look at.</summary>
    static readonly string[] KernelTypes =
    [
        "binfmt_misc",
        "tracefs",
        "securityfs",
        "bpf",
        "pstore",
        "cpuset",
        "devpts",
        "mqueue",
        "hugetlbfs",
        "debugfs",
        "configfs",
        "efivarfs",
        "cgroup",
        "cgroup2",
        "proc",
        "sysfs",
        "devtmpfs",
        "selinuxfs",
        "fusectl",
        "ramfs",
        "overlay",
        "fuse",
        "fuse.x",
        "autofs",
        "nfsd",
        "rpc_pipefs",
        "none",
        "",
        "BINFMT_MISC",
        " tmpfs",
        "tmpfs ",
        "NFS",
    ];

    static readonly string[] Refused =
    [
        .. KernelTypes.Select(type => $""" "type":"{type}","device":"{Shared}" """),
        """ "type":"9p","o":"trans=unix","device":"/run/docker.sock" """,
        """ "type":"9p","o":"rw,trans=fd,rfdno=7,wfdno=7","device":"x" """,
        $""" "type":"ext4","o":"journal_path=/dev/disk","device":"{Shared}" """,
        $""" "type":"overlay","o":"lowerdir=/etc:/root","device":"{Shared}" """,
        """ "type":"nfs","o":"bind","device":"/etc" """,
        """ "type":"tmpfs","o":"ro,rbind","device":"etc" """,
    ];

    void Open()
    {
        Engine.WritePolicy("{}");
        Eventually(() => !IsClosed(), "without a policy all is allowed");
    }

    void Close()
    {
        Engine.WritePolicy(PolicyFile);
        Eventually(IsClosed, "the policy is back");
    }

    bool IsClosed() => Attempt.IsRefusal(Create(Body.Plain.Privileged()));

    RawAnswer Post(string target, string body) => Engine.Raw("POST", target, Encoding.UTF8.GetBytes(body));

    RawAnswer Create(Body body) =>
        Engine.Raw(
            "POST",
            Engine.Major > 20 ? "/v1.44/containers/create" : "/v1.41/containers/create",
            body.With("\"OpenStdin\":true").Bytes
        );

    static void IsRefused(RawAnswer answer, string what) => Assert.That(Attempt.IsRefusal(answer), $"{what}: {answer}");

    [OneTimeSetUp]
    public void MakeWhatAnAdminMakes()
    {
        Directory.CreateDirectory(Shared);
        Directory.CreateDirectory(Path.Combine(Private, "empty"));
        File.WriteAllText(Path.Combine(Private, "secret"), "of root");
        Engine.Docker("import", "-c", "VOLUME /etc", Repository.Image, "filling").Ok();
        Engine.Docker("import", "-c", "ENV NVIDIA_VISIBLE_DEVICES=all", Repository.Image, "cuda").Ok();
        Open();
        Engine.Docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", $"device={Private}", "hostly").Ok();
        Engine
            .Docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", $"device={Private}/empty", "hollow")
            .Ok();
        Engine.Docker("volume", "create", "-o", "type=mqueue", "-o", "device=x", "kernels").Ok();
        Close();
    }

    [Test]
    public void A_local_volume_with_an_unknown_file_system() =>
        Assert.Multiple(() =>
        {
            foreach (var options in Refused)
            {
                IsRefused(Post("/volumes/create", $$$"""{"Name":"odd","DriverOpts":{ {{{options}}} } }"""), options);
                IsRefused(Create(Body.Plain.LocalVolume(options)), options);
            }
        });

    [Test]
    public void An_admins_volume_is_judged_by_its_name()
    {
        foreach (var name in (string[])["hostly", "kernels"])
        foreach (
            var body in (Body[])
                [
                    Body.Plain.Binds($"{name}:/x"),
                    Body.Plain.LocalVolume(""" "type":"tmpfs","device":"tmpfs" """, name),
                    Body.Plain.Mount($$""" "Type":"volume","Source":"{{name}}","Target":"/x" """),
                ]
        )
            IsRefused(Create(body), body);
        // Where a volume is empty, the engine fills it with what the image has there when the container is created.
        Create(Body.Plain.Binds("hollow:/etc"));
        Assert.That(Directory.GetFileSystemEntries(Path.Combine(Private, "empty")), Is.Empty);
    }

    [Test]
    public void Remote_volumes_work_and_keep_their_secrets()
    {
        foreach (
            var (name, options) in ((string, string)[])
                [
                    (
                        "share",
                        """ "type":"cifs","device":"//192.0.2.1/share","o":"addr=192.0.2.1,username=bob,password=hush:/secret1,x" """
                    ),
                    ("pool", """ "type":"ceph","device":"192.0.2.1:6789:/pool","o":"name=bob,secret=/hush-secret2" """),
                    ("export", """ "type":"nfs","device":":/etc","o":"addr=192.0.2.1,rw" """),
                    ("plan", """ "type":"9p","device":"192.0.2.1","o":"trans=tcp,port=1" """),
                    ("memory", """ "type":"tmpfs","device":"tmpfs","o":"size=1m" """),
                ]
        )
        {
            Assert.That(
                Post("/volumes/create", $$$"""{"Name":"{{{name}}}","DriverOpts":{ {{{options}}} } }""").Status,
                Is.EqualTo(201),
                options
            );
            Assert.That(Create(Body.Plain.Binds($"{name}:/x")), Has.Property("Status").EqualTo(201), options);
        }
        foreach (
            var options in (string[])
                [
                    """ "type":"cifs","device":"//x/y","o":"bind,password=hush-secret3" """,
                    """ "type":"CIFS","device":"//bob:hush-secret4@x/y","o":"password=hush-secret5" """,
                    """ "type":"cifs","device":"//x/y","o":"password={{hush-secret6" """,
                ]
        )
            IsRefused(Post("/volumes/create", $$$"""{"Name":"odd","DriverOpts":{ {{{options}}} } }"""), options);
        // The engine repeats a volume's options where it cannot mount it, and the plugin's own upload has to.
        var id = Attempt.IdIn(Create(Body.Gpu.Binds("pool:/y", "runai:/runai").Quota("0.5")).Body);
        var started = Engine.Raw("POST", $"/containers/{id}/start");
        Assert.That(started.Status, Is.Not.EqualTo(204));
        var lines = Engine.Log.Split('\n').Where(line => line.Contains("plugin=", StringComparison.Ordinal)).ToArray();
        Assert.That(lines, Is.Not.Empty);
        Assert.That(lines.Where(line => line.Contains("secret", StringComparison.Ordinal)), Is.Empty);
        if (Attempt.IsRefusal(started))
            Assert.That(started.Body, Does.Not.Contain("secret"));
    }

    static readonly string[] Capabilities =
    [
        "\u017fYS_ADMIN",
        "SYS_ADM\u0131N",
        "cap_\u017fys_ptrace",
        "CAP_\u017fY\u017f_MODULE",
        "MKNOD\u0000",
        " SYS_ADMIN",
    ];

    [Test]
    public void A_capability_in_letters_that_Go_folds() =>
        Assert.Multiple(() =>
        {
            foreach (var capability in Capabilities)
                IsRefused(
                    Create(
                        Body.Plain.HostList("CapAdd", capability.Replace("\0", "\\u0000", StringComparison.Ordinal))
                    ),
                    capability
                );
            foreach (var capability in Capabilities)
                IsRefused(
                    Post(
                        "/services/create",
                        $$$"""{"Name":"s","TaskTemplate":{"ContainerSpec":{"Image":"{{{Image}}}","CapabilityAdd":["{{{capability.Replace("\0", "\\u0000", StringComparison.Ordinal)}}}"] } } }"""
                    ),
                    $"a service with {capability}"
                );
        });

    /// <summary>The policy looks at the mode "host"; by any other name the engine gives no container that
    /// network.</summary>
    [Test]
    public void The_hosts_network_by_another_name()
    {
        var network = Engine.Docker("network", "ls", "-q", "--no-trunc", "-f", "name=host").Ok();
        var hosts = File.ResolveLinkTarget($"/proc/{Engine.Daemon}/ns/net", returnFinalTarget: false)!.Name;
        var ran = 0;
        foreach (var name in (string[])[network, network[..12], network[..4], "host"])
        foreach (
            var body in (Body[])
                [
                    Body.Plain.Host("NetworkMode", name),
                    Body.Plain.With($$$""" "NetworkingConfig":{"EndpointsConfig":{"{{{name}}}":{} } } """),
                    Body.Plain,
                ]
        )
        {
            var created = Create(body);
            if (created.Status != 201)
                continue; // it said no itself
            var id = Attempt.IdIn(created.Body)!;
            if (body == Body.Plain && name != "host")
                Post($"/networks/{name}/connect", $$"""{"Container":"{{id}}"}""");
            if (Engine.Raw("POST", $"/containers/{id}/start").Status != 204)
                continue;
            Post($"/networks/{name}/connect", $$"""{"Container":"{{id}}"}""");
            Assert.That(
                File.ResolveLinkTarget($"/proc/{Engine.StateOf(id).Pid}/ns/net", returnFinalTarget: false)!.Name,
                Is.Not.EqualTo(hosts),
                $"{name} {body}"
            );
            ran++;
            Engine.Docker("rm", "-f", id).Ok();
        }
        Assert.That(ran, Is.Positive, "those without it run");
    }

    /// <summary>The names that a container has in networks stand in its description, of which the plugin keeps 8
    /// MiB.</summary>
    [Test]
    public void A_container_of_megabytes_is_judged_like_others()
    {
        string Connect(string id, int bytes) =>
            $$"""{"Container":"{{id}}","EndpointConfig":{"DriverOpts":{"x":"{{new string('x', bytes)}}"} } }""";
        Open();
        foreach (var name in (string[])["net1", "net2", "net3", "net4", "net5"])
            Engine.Docker("network", "create", name).Ok();
        var id = Attempt.IdIn(Create(Body.Plain.Host("NetworkMode", "net1")).Body)!;
        foreach (var name in (string[])["net2", "net3", "net4"])
            Assert.That(Post($"/networks/{name}/connect", Connect(id, 3 << 20)), Has.Property("Status").EqualTo(200));
        Assert.That(Engine.Docker("inspect", id).Ok(), Has.Length.GreaterThan(9 << 20));
        Close();
        Assert.That(
            Engine.Raw("HEAD", $"/containers/{id}/archive?path=/etc").Status,
            Is.EqualTo(200),
            "it is judged, and harmless"
        );
        foreach (var bytes in (int[])[70_000, 3 << 20])
            IsRefused(Post("/networks/net5/connect", Connect(id, bytes)), $"{bytes} bytes");
        Assert.That(Post("/networks/net5/connect", Connect(id, 1000)).Status, Is.EqualTo(200));
        Engine.Docker("rm", id).Ok();
        foreach (var name in (string[])["net1", "net2", "net3", "net4", "net5"])
            Engine.Docker("network", "rm", name).Ok();
    }

    [Test]
    public void A_device_rule_for_all_devices_of_a_type()
    {
        foreach (var rule in (string[])["a 1:3 rwm", "a 7:* r", "A 1:3 rwm"])
        {
            var refused = Create(Body.Plain.HostList("DeviceCgroupRules", rule));
            IsRefused(refused, rule);
            Assert.That(
                refused.Body,
                Does.Contain($"a container with a GPU (device rule \\\"{rule}\\\") needs a quota")
                    .Or.Contain("device rule")
            );
        }
    }

    [Test]
    public void A_runtime_by_another_name_that_reads_NVIDIAs_variable()
    {
        var attempt = Try(Body.Plain.Runtime("runsc").Image("cuda"));
        Assert.That((attempt.IsRefused, attempt.Breach), Is.EqualTo((true, (string?)null)), attempt.ToString());
    }

    /// <summary>What an admin's container has that these users' may not.</summary>
    static readonly string[] Admins =
    [
        $"-v {Private}:/host",
        "-v hostly:/host",
        "--privileged",
        "--pid host",
        "--network host",
        "--cap-add SYS_ADMIN",
        "--gpus 1",
    ];

    /// <summary>Its own command is a shell, which does what comes by an attach.</summary>
    static string[] RunFlags(string flags, string name, string network = "none") =>
        [
            "-d",
            "-i",
            "--name",
            name,
            .. (flags.Contains("--network", StringComparison.Ordinal) ? Array.Empty<string>() : ["--network", network]),
            .. flags.Split(' ', StringSplitOptions.RemoveEmptyEntries),
            Image,
            "sh",
        ];

    string? MakeExec(string container, string more) =>
        Attempt.IdIn(
            Post(
                $"/containers/{container}/exec",
                $$"""{"AttachStdin":true,"AttachStdout":true,"Cmd":["true"]{{more}}}"""
            ).Body
        );

    [Test]
    public void Containers_beyond_ones_rights_are_closed()
    {
        Open();
        var admins = Admins
            .Select(
                (flags, n) => (Flags: flags, Id: Engine.Docker(["create", .. RunFlags(flags, $"admin{n}")[1..]]).Ok())
            )
            .ToArray();
        Engine.Docker("start", "admin0").Ok();
        var exec = Attempt.IdIn(
            Post(
                $"/containers/{admins[0].Id}/exec",
                """{"AttachStdin":true,"AttachStdout":true,"Cmd":["cat","/host/secret"]}"""
            ).Body
        );
        var ordinary = Engine.Docker("run", "-d", "--network", "none", Image, "sleep", "300").Ok();
        var (privileged, plain) = (MakeExec(ordinary, ""","Privileged":true"""), MakeExec(ordinary, ""));
        var created = Engine
            .Docker("create", "--name", "copied", "--network", "none", "-v", "hostly:/host", Image, "true")
            .Ok();
        Close();
        var tar = Tar("made");
        Assert.Multiple(() =>
        {
            foreach (var (flags, id) in admins.Append(("-v hostly:/host, created only", created)))
            foreach (var name in flags == Admins[0] ? (string[])[id, id[..12], id[..3], "admin0"] : [id])
            foreach (
                var (method, target, body) in ((string, string, byte[]?)[])
                    [
                        ("POST", $"/containers/{name}/exec", """{"AttachStdout":true,"Cmd":["sh"]}"""u8.ToArray()),
                        ("POST", $"/containers/{name}/attach?stream=1&stdin=1&stdout=1", null),
                        ("GET", $"/containers/{name}/attach/ws?stream=1", null),
                        ("GET", $"/containers/{name}/archive?path=/host/secret", null),
                        ("HEAD", $"/v1.41/containers/{name}/%61rchive?path=/host", null),
                        ("PUT", $"/containers/{name}/archive?path=/host", tar),
                        ("GET", $"/containers/{name}/export", null),
                        ("POST", $"/commit?container={name}&repo=stolen", "{}"u8.ToArray()),
                        ("POST", $"/containers/{name}/rename?name=mine", null),
                        ("POST", $"/build?networkmode=container:{name}", tar),
                    ]
            )
            {
                var answer = Engine.Raw(
                    method,
                    target,
                    body,
                    target.Contains("archive", StringComparison.Ordinal)
                    || target.Contains("build", StringComparison.Ordinal)
                        ? ["Content-Type: application/x-tar"]
                        : []
                );
                Assert.That(answer.Status == 403, $"{method} {target} of {flags}: {answer}");
            }
            IsRefused(Post($"/exec/{exec}/start", """{"Detach":false}"""), "an exec of an admin's");
            var refused = Post($"/exec/{privileged}/start", """{"Detach":false}""");
            IsRefused(refused, "a privileged exec of an admin's in an ordinary container");
            Assert.That(refused.Body, Does.Contain("this exec was made with --privileged"));
            Assert.That(
                Post($"/exec/{plain}/start", """{"Detach":false}""").Status,
                Is.EqualTo(200),
                "an ordinary one"
            );
            foreach (var (flags, id) in admins)
            foreach (var (key, n) in ((string, int)[])[("PidMode", 0), ("IpcMode", 1), ("NetworkMode", 2)])
                IsRefused(Create(Body.Plain.Host(key, $"container:{(n == 0 ? id[..12] : id)}")), $"{key} of {flags}");
        });
        Assert.That(File.Exists(Path.Combine(Private, "made")), Is.False);
    }

    [Test]
    public void No_start_joins_a_namespace_out_of_reach()
    {
        Open();
        var admins = Engine.Docker(["run", .. RunFlags($"-v {Private}:/host", "admin")]).Ok();
        var between = Engine.Docker(["run", .. RunFlags($"--pid container:{admins}", "between")]).Ok();
        var joined = (
            (string[])
                [
                    $"--pid container:{admins}",
                    "--pid container:admin",
                    $"--ipc container:{admins}",
                    $"--network container:{admins}",
                    $"--pid container:{between}",
                ]
        )
            .Select((flags, n) => (flags, Engine.Docker(["create", .. RunFlags(flags, $"joined{n}")[1..]])))
            .Where(c => c.Item2.Code == 0)
            .ToArray();
        Close();
        Assert.That(joined, Has.Length.GreaterThan(3));
        foreach (var (flags, made) in joined)
            IsRefused(Engine.Raw("POST", $"/containers/{made.Out.Trim()}/start"), flags);
    }

    [Test]
    public void Callers_reach_their_own_containers()
    {
        var id = Engine.Start(
            "--name",
            "cafe",
            "-i",
            "-v",
            $"{Shared}:/shared",
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.5",
            Image,
            "sh"
        );
        Assert.That(Engine.Docker("exec", "cafe", "echo", "hello").Ok(), Is.EqualTo("hello"));
        File.WriteAllText(Path.Combine(Shared, "file"), "text");
        var copy = Path.Combine(Directory.CreateTempSubdirectory("copied-").FullName, "file");
        Engine.Docker("cp", "cafe:/shared/file", copy).Ok();
        Engine.Docker("cp", copy, "cafe:/shared/again").Ok();
        Assert.That(File.ReadAllText(Path.Combine(Shared, "again")), Is.EqualTo("text"));
        Engine
            .Docker(
                "run",
                "--rm",
                "--pid",
                "container:cafe",
                "--ipc",
                "private",
                "--network",
                "container:cafe",
                Image,
                "true"
            )
            .Ok();
        Engine.Docker("commit", "cafe", "of-cafe").Ok();
        Engine.Docker("rename", "cafe", "bar").Ok();
        Assert.That(
            Engine.Raw("HEAD", $"/containers/{id[..8]}/archive?path=/shared/file").Status,
            Is.EqualTo(200),
            "by the beginning of its ID"
        );
        Engine.Docker("export", "-o", copy, "bar").Ok();
        Assert.That(
            Engine.Docker("run", "--rm", "--network", "none", Image, "echo", "attached").Ok(),
            Is.EqualTo("attached")
        );
        Directory.Delete(Path.GetDirectoryName(copy)!, recursive: true);
    }

    static byte[] Tar(string name)
    {
        using var tar = new MemoryStream();
        using (var writer = new TarWriter(tar, TarEntryFormat.Ustar, leaveOpen: true))
            writer.WriteEntry(
                new UstarTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream("x"u8.ToArray()) }
            );
        return tar.ToArray();
    }

    [TestCase("run.oci.seccomp_bpf_data")]
    [TestCase("run.oci.seccomp.plugins")]
    [TestCase("org.criu.config")]
    [TestCase("io.katacontainers.config_path")]
    [TestCase("dev.gvisor.flag.network")]
    public void An_annotation_that_is_an_order_to_a_runtime(string name)
    {
        if (Engine.Major > 20)
            IsRefused(Create(Body.Plain.Host($$""" "Annotations":{"{{name}}":"/x"} """)), name);
        else
            Assert.That(
                Engine.Docker("create", "--annotation", $"{name}=/x", Image).Error,
                Does.Contain("unknown flag"),
                "an engine that knows none"
            );
    }

    [Test]
    public void A_driver_capability_that_no_quota_limits()
    {
        Engine.Docker("import", "-c", "ENV NVIDIA_DRIVER_CAPABILITIES=all", Repository.Image, "all-capabilities").Ok();
        Body Requesting(string names) =>
            Body.Plain.Volume().Requests($$"""{"Count":1,"Capabilities":[{{names}}]}""").Quota("0.5");
        foreach (
            var (names, image, word) in ((string, string, string)[])
                [
                    ("[\"gpu\"]", "all-capabilities", "add -e NVIDIA_DRIVER_CAPABILITIES=compute,utility"),
                    ("[\"gpu\",\"graphics\"]", Image, "write --gpus"),
                    ("[\"gpu\",\"compute\"],[\"display\"]", Image, "write --gpus"),
                ]
        )
        {
            var attempt = Try(Requesting(names).Image(image));
            Assert.That(
                attempt.IsRefused && attempt.Created.Body.Contains(word, StringComparison.Ordinal),
                $"{names} {image}: {attempt}"
            );
        }
        foreach (
            var (names, image) in ((string, string)[])
                [
                    ("[\"gpu\"]", Image),
                    ("[\"gpu\",\"compute\",\"utility\"]", "all-capabilities"),
                    ("[\"utility\"]", Image),
                ]
        )
            Assert.That(
                Try(Requesting(names).Image(image)),
                Has.Property("Runs").True.And.Property("Breach").Null,
                $"{names} {image}"
            );
        var overridden = Try(
            Requesting("[\"gpu\"]").Env("NVIDIA_DRIVER_CAPABILITIES=compute, utility").Image("all-capabilities")
        );
        Assert.That(overridden, Has.Property("Runs").True, overridden.ToString());
    }

    /// <summary>By its control group the plugin tells whose a process is, also of one that gets an open GPU from
    /// another.</summary>
    [Test]
    public void A_container_without_GPU_in_anothers_control_group()
    {
        var large = CreateLegal("large");
        Engine.Raw("POST", $"/containers/{large}/start");
        foreach (var parent in (string[])[$"/docker/{large}", $"docker/{large}/x"])
        {
            IsRefused(Create(Body.Plain.Host("CgroupParent", parent)), parent);
            IsRefused(
                Engine.Raw(
                    "POST",
                    $"/build?t=x&cgroupparent={Uri.EscapeDataString(parent)}",
                    [0],
                    "Content-Type: application/x-tar"
                ),
                "a build"
            );
        }
        Assert.That(Create(Body.Plain.Host("CgroupParent", "/mine")).Status, Is.EqualTo(201));
    }
}
