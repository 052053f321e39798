// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>Each way to a GPU, plain and in disguise: under a policy that requires a quota, none leads to a running
/// container that sees more GPU memory than that.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class GpuAccessTests(string version) : PolicyFixture(version)
{
    [OneTimeSetUp]
    public void MakeImages()
    {
        Engine.Docker("import", "-c", "ENV NVIDIA_VISIBLE_DEVICES=all", Repository.Image, "cuda").Ok();
        Engine.Docker("import", "-c", "ENV CUDA_VERSION=8.0", Repository.Image, "old-cuda").Ok();
        Engine.Docker("import", "-c", "ENV DOCKER_RESOURCE_GPU=all", Repository.Image, "swarm-cuda").Ok();
        Engine.Docker("import", "-c", "LABEL gpu-memory=1", Repository.Image, "labelled-1").Ok();
        Engine.Docker("import", "-c", "LABEL gpu-memory=0.25", Repository.Image, "labelled").Ok();
        Engine.WriteCdiSpecifications();
    }

    [Test]
    public void Containers_within_the_policy_run_limited()
    {
        var attempt = Try(Body(Volume + Request, Label("0.5")));
        Assert.That(attempt.Runs, attempt.ToString());
        Assert.That(attempt.Breach, Is.Null);
        Assert.That(Engine.Smi(attempt.Id!).Total, Is.EqualTo(Part(0.5m)));
        Assert.That(
            Attempt.TotalsIn(Engine, attempt.Id!),
            Is.EqualTo(new[] { Part(0.5m) }),
            "the check sees what it shows"
        );
    }

    /// <summary>The test itself can tell: a container whose GPU was not asked about is found.</summary>
    [Test]
    public void The_check_finds_a_breach()
    {
        Engine.WritePolicy("{}");
        Eventually(
            () => Try(Body(Request)) is { Runs: true, Breach: not null },
            "without the policy a container with the whole GPU runs, and is noticed"
        );
        Assert.That(
            Try(Body(""","Runtime":"nvidia" """, ""","Env":["DOCKER_RESOURCE_GPU=0"]""")),
            Has.Property("Runs").True.And.Property("Breach").Not.Null,
            "by a swarm resource"
        );
        foreach (var request in Engine.Major < 28 ? [] : CdiRequests)
            Assert.That(Try(Body(request)), Has.Property("Runs").True.And.Property("Breach").Not.Null, request);
        Engine.WritePolicy(PolicyFile);
        Eventually(() => Try(Body(Request)).IsRefused, "the policy is back");
    }

    static readonly string[] CdiRequests =
    [
        ""","DeviceRequests":[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=all"]}]""",
        ""","DeviceRequests":[{"Driver":"cdi","DeviceIDs":["acme.com/thing=any"]}]""",
    ];

    [Test]
    public void A_CDI_device_with_a_quota_is_limited()
    {
        if (Engine.Major < 28)
            Assert.That(Try(Body(CdiRequests[0] + Volume, Label("0.5"))).Runs, Is.False, "it knows no CDI");
        else
            Assert.That(
                Engine
                    .Docker([
                        "run",
                        "--rm",
                        "--network",
                        "none",
                        "--device",
                        "nvidia.com/gpu=all",
                        "-v",
                        "runai:/runai",
                        "--label",
                        "gpu-memory=0.5",
                        Image,
                        .. SmiQuery,
                    ])
                    .Ok(),
                Does.StartWith($"{Part(0.5m)},")
            );
    }

    static IEnumerable<TestCaseData> Vectors()
    {
        static TestCaseData Case(string name, string host, string more = "", string image = Image) =>
            new TestCaseData(host, more, image).SetArgDisplayNames(name);
        static string Requests(string request) => $$""","DeviceRequests":[{{request}}]""";
        foreach (var capability in (string[])["gpu", "compute", "utility", "graphics", "video", "display", "compat32"])
            yield return Case(
                $"request by capability {capability}",
                Requests($$"""{"Count":-1,"Capabilities":[["{{capability}}"]]}""")
            );
        yield return Case(
            "request of the nvidia driver",
            Requests("""{"Driver":"nvidia","Count":1,"Capabilities":[["gpu","utility"]]}""")
        );
        yield return Case(
            "request by ID",
            Requests("""{"Driver":"nvidia","DeviceIDs":["0"],"Capabilities":[["gpu"]]}""")
        );
        foreach (var request in CdiRequests)
            yield return Case($"request of CDI {request[^20..]}", request);
        yield return Case(
            "request after an empty one",
            Requests("""{"Driver":"other"},{"Count":1,"Capabilities":[["gpu"]]}""")
        );
        yield return Case(
            "device node",
            ""","Devices":[{"PathOnHost":"/dev/nvidia0","PathInContainer":"/dev/nvidia0","CgroupPermissions":"rwm"}]"""
        );
        yield return Case(
            "device node of the second GPU",
            ""","Devices":[{"PathOnHost":"/dev/nvidia1","PathInContainer":"/dev/null1","CgroupPermissions":"rwm"}]"""
        );
        yield return Case(
            "device node by another name",
            ""","Devices":[{"PathOnHost":"/dev/innocent","PathInContainer":"/dev/innocent","CgroupPermissions":"rwm"}]"""
        );
        yield return Case(
            "device node by number",
            ""","Devices":[{"PathOnHost":"/dev/char/195:0","PathInContainer":"/dev/x","CgroupPermissions":"rwm"}]"""
        );
        yield return Case(
            "device node by dots",
            ""","Devices":[{"PathOnHost":"/dev/shm/../nvidia0","PathInContainer":"/dev/x","CgroupPermissions":"rwm"}]"""
        );
        yield return Case(
            "device node through proc",
            ""","Devices":[{"PathOnHost":"/proc/1/root/dev/nvidia0","PathInContainer":"/dev/x","CgroupPermissions":"rwm"}]"""
        );
        yield return Case(
            "device folder",
            ""","Devices":[{"PathOnHost":"/dev","PathInContainer":"/dev","CgroupPermissions":"rwm"}]"""
        );
        yield return Case(
            "render node",
            ""","Devices":[{"PathOnHost":"/dev/dri/renderD128","PathInContainer":"/dev/dri/renderD128","CgroupPermissions":"rwm"}]"""
        );
        yield return Case(
            "folder of render nodes",
            ""","Devices":[{"PathOnHost":"/dev/dri","PathInContainer":"/dev/dri","CgroupPermissions":"rwm"}]"""
        );
        yield return Case(
            "CDI name among devices",
            ""","Devices":[{"PathOnHost":"nvidia.com/gpu=all","PathInContainer":"x","CgroupPermissions":"rwm"}]"""
        );
        foreach (var rule in (string[])["c 195:* rwm", "c *:* rwm", "a *:* rwm", "c 195:0 rw", "c 226:* r"])
            yield return Case($"device rule {rule}", $$""","DeviceCgroupRules":["{{rule}}"]""");
        yield return Case("privileged", ""","Privileged":true""");
        yield return Case("runtime nvidia", ""","Runtime":"nvidia" """, ""","Env":["NVIDIA_VISIBLE_DEVICES=all"]""");
        yield return Case(
            "runtime nvidia, one GPU",
            ""","Runtime":"nvidia" """,
            ""","Env":["NVIDIA_VISIBLE_DEVICES=0"]"""
        );
        yield return Case(
            "runtime nvidia, the later value counts",
            ""","Runtime":"nvidia" """,
            ""","Env":["NVIDIA_VISIBLE_DEVICES=void","NVIDIA_VISIBLE_DEVICES=all"]"""
        );
        yield return Case(
            "runtime nvidia, with a bare name behind",
            ""","Runtime":"nvidia" """,
            ""","Env":["NVIDIA_VISIBLE_DEVICES=all","NVIDIA_VISIBLE_DEVICES"]"""
        );
        yield return Case("runtime nvidia, by the image", ""","Runtime":"nvidia" """, "", "cuda");
        yield return Case("runtime nvidia, an old image", ""","Runtime":"nvidia" """, "", "old-cuda");
        yield return Case(
            "runtime nvidia, by a swarm resource",
            ""","Runtime":"nvidia" """,
            ""","Env":["DOCKER_RESOURCE_GPU=0"]"""
        );
        yield return Case(
            "runtime nvidia, by a swarm resource of the image",
            ""","Runtime":"nvidia" """,
            "",
            "swarm-cuda"
        );
        yield return Case(
            "runtime nvidia, an old image's requirement emptied",
            ""","Runtime":"nvidia" """,
            ""","Env":["NVIDIA_REQUIRE_CUDA="]""",
            "old-cuda"
        );
        yield return Case("annotation of CDI", ""","Annotations":{"cdi.k8s.io/x":"nvidia.com/gpu=all"}""");
        yield return Case("bind of /dev", ""","Binds":["/dev:/x"]""");
        yield return Case("bind of a node", ""","Binds":["/dev/nvidia0:/x"]""");
        yield return Case("bind of a node by another name", ""","Binds":["/dev/innocent:/x"]""");
        yield return Case("mount of a node", ""","Mounts":[{"Type":"bind","Source":"/dev/nvidia0","Target":"/x"}]""");
        yield return Case(
            "inline local volume of /dev",
            ""","Mounts":[{"Type":"volume","Source":"devs","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/dev"}}}}]"""
        );
        yield return Case(
            "anonymous inline local volume of /dev",
            ""","Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/dev"}}}}]"""
        );
        yield return Case(
            "inline volume of devtmpfs",
            ""","Mounts":[{"Type":"volume","Source":"devs2","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"devtmpfs","device":"devtmpfs"}}}}]"""
        );
        yield return Case(
            "inline volume by overlay",
            ""","Mounts":[{"Type":"volume","Source":"devs3","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"overlay","device":"overlay","o":"lowerdir=/dev/dri:/dev"}}}}]"""
        );
        foreach (var quota in (string[])["0.6", "1", "10g", "2", "", "1e-1", " 0.5", "0.5 ", "0,5", "½", "0x1"])
            yield return Case($"quota {quota}", Volume + Request, Label(quota));
        yield return Case("quota of the image", Volume + Request, "", "labelled-1");
        yield return Case("quota of the image without the volume", Request, "", "labelled");
        yield return Case("label without the volume", Request, Label("0.5"));
        yield return Case(
            "a volume of another driver by the name",
            ""","Mounts":[{"Type":"volume","Source":"runai2","Target":"/runai"}]""" + Request,
            Label("0.5")
        );
        yield return Case(
            "the volume covered",
            ""","Binds":["runai:/runai"],"Tmpfs":{"/runai":""}""" + Request,
            Label("0.5")
        );
        foreach (var spelling in (string[])["/runai/", "//runai", "/x/../runai", "/runai/."])
            yield return Case(
                $"the volume covered at {spelling}",
                $$$""","Binds":["runai:/runai"],"Tmpfs":{"{{{spelling}}}":""}""" + Request,
                Label("0.5")
            );
        yield return Case(
            "a part of the volume covered",
            ""","Binds":["runai:/runai"],"Tmpfs":{"/runai/usage":""}""" + Request,
            Label("0.5")
        );
        yield return Case("/etc covered", ""","Binds":["runai:/runai"],"Tmpfs":{"/etc":""}""" + Request, Label("0.5"));
        yield return Case(
            "the preload file covered",
            ""","Binds":["runai:/runai","/etc/hostname:/etc/ld.so.preload"]""" + Request,
            Label("0.5")
        );
        yield return Case(
            "the preload file covered by a volume",
            ""","Binds":["runai:/runai","other:/etc"]""" + Request,
            Label("0.5")
        );
        yield return Case("read-only root", ""","ReadonlyRootfs":true""" + Volume + Request, Label("0.5"));
        yield return Case(
            "dots in the target",
            ""","Binds":["runai:/runai"],"Tmpfs":{"/x/../etc":""}""" + Request,
            Label("0.5")
        );
        yield return Case("the volume at the root's etc", ""","Binds":["runai:/etc"]""" + Request, Label("0.5"));
    }

    [TestCaseSource(nameof(Vectors))]
    public void No_way_to_a_GPU_avoids_the_quota(string host, string more, string image)
    {
        var attempt = Try(Body(host, more, image));
        Assert.That(attempt.Breach, Is.Null, attempt.ToString());
        // What this engine does not know it leaves out, or says no to it itself.
        Assert.That(attempt.IsRefused || !attempt.Runs || Engine.Major < 28, attempt.ToString());
    }

    [Test]
    public void Volumes_of_another_container()
    {
        Engine.Docker("create", "--name", "source", "--network", "none", "-v", "/dev:/x", Image, "true");
        Engine
            .Docker(
                "create",
                "--name",
                "ours",
                "--network",
                "none",
                "-v",
                "runai:/runai",
                "--label",
                "gpu-memory=0.5",
                Image,
                "true"
            )
            .Ok();
        AllRefused(
            Body(""","VolumesFrom":["source"]"""),
            Body(""","VolumesFrom":["ours"],"Tmpfs":{"/runai":""}""" + Request, Label("0.5")),
            Body(""","VolumesFrom":["ours"]""" + Request)
        );
    }

    void AllRefused(params string[] bodies)
    {
        foreach (var body in bodies)
        {
            var attempt = Try(body);
            Assert.That(attempt.Breach, Is.Null, $"{body}: {attempt}");
            Assert.That(attempt.Runs, Is.False, $"{body}: {attempt}");
        }
    }

    [Test]
    public void A_local_volume_made_before()
    {
        var made = Engine.Docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/dev", "devices");
        if (made.Code == 0)
            AllRefused(
                Body(""","Binds":["devices:/x"]"""),
                Body(""","Mounts":[{"Type":"volume","Source":"devices","Target":"/x"}]""")
            );
    }

    [Test]
    public void A_local_volume_remade_after_create()
    {
        var created = Engine.Raw(
            "POST",
            "/v1.41/containers/create",
            Encoding.UTF8.GetBytes(Body(""","Binds":["later:/x"]"""))
        );
        Assert.That(created.Status, Is.EqualTo(201), created.ToString());
        var id = Attempt.IdIn(created.Body)!;
        Engine.Docker("create", "--name", "keeper", "--network", "none", Image, "true").Ok();
        Engine.Docker("volume", "rm", "-f", "later");
        Engine.Docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/dev", "later");
        Engine.Raw("POST", $"/containers/{id}/start");
        Assert.That(Attempt.FindBreach(Engine, id, Most), Is.Null);
    }

    static IEnumerable<TestCaseData> Disguises()
    {
        static TestCaseData Case(
            string name,
            string body,
            string target = "/v1.41/containers/create",
            params string[] headers
        ) => new TestCaseData(body, target, headers).SetArgDisplayNames(name);
        var gpu = Body(Request);
        foreach (
            var spelling in (string[])
                [
                    "devicerequests",
                    "DEVICEREQUESTS",
                    "deviceReque\\u017Fts",
                    "DeviceReque\u017fts",
                    "Device\\u0052equests",
                ]
        )
            yield return Case($"key {spelling}", gpu.Replace("DeviceRequests", spelling, StringComparison.Ordinal));
        foreach (
            var spelling in (string[])
                ["hostconfig", "HOSTCONFIG", "Ho\u017ftConfig", "Ho\\u017ftConfig", "Host\\u0043onfig"]
        )
            yield return Case($"key {spelling}", gpu.Replace("HostConfig", spelling, StringComparison.Ordinal));
        foreach (
            var (plain, spelling) in ((string, string)[])
                [
                    ("NetworkMode", "Networ\u212aMode"),
                    ("Privileged", "privileged"),
                    ("Binds", "bind\u017f"),
                    ("Runtime", "runtime"),
                ]
        )
            yield return Case(
                $"key {spelling}",
                (
                    plain switch
                    {
                        "Privileged" => Body(""","Privileged":true"""),
                        "Binds" => Body(""","Binds":["/dev:/x"]"""),
                        "Runtime" => Body(""","Runtime":"nvidia" """, ""","Env":["NVIDIA_VISIBLE_DEVICES=all"]"""),
                        _ => gpu,
                    }
                ).Replace(plain, spelling, StringComparison.Ordinal)
            );
        yield return Case(
            "labels in capitals too",
            Body(Volume + Request, ""","Labels":{"gpu-memory":"1"},"LABELS":{"gpu-memory":"0.5"}""")
        );
        yield return Case(
            "HostConfig twice",
            Body("", ""","HostConfig":{"DeviceRequests":[{"Count":1,"Capabilities":[["gpu"]]}]}""")
        );
        yield return Case("HostConfig twice, the second empty", gpu[..^1] + ""","HostConfig":{}}""");
        yield return Case("HostConfig twice in other cases", gpu[..^1] + ""","hostConfig":{"NetworkMode":"none"}}""");
        yield return Case("requests twice", Body(Request + ""","DeviceRequests":[]"""));
        yield return Case("requests and null", Body(Request + ""","DeviceRequests":null"""));
        yield return Case(
            "a capability twice",
            Body(""","DeviceRequests":[{"Count":1,"Capabilities":[],"Capabilities":[["gpu"]]}]""")
        );
        yield return Case(
            "a label twice",
            Body(Volume + Request, ""","Labels":{"gpu-memory":"0.5","gpu-memory":"1"}""")
        );
        yield return Case(
            "labels twice",
            Body(Volume + Request, ""","Labels":{"gpu-memory":"0.5"},"Labels":{"gpu-memory":"1"}""")
        );
        yield return Case(
            "a label with an escape",
            Body(Volume + Request, ""","Labels":{"gpu-memory":"0.5","gpu\u002dmemory":"1"}""")
        );
        yield return Case("Privileged twice", Body(""","Privileged":false,"Privileged":true"""));
        yield return Case("data behind", gpu + "{}");
        yield return Case("a harmless body, then a GPU", Body() + gpu);
        yield return Case("a GPU, then a bracket", gpu + "]");
        yield return Case("a NUL behind", gpu + "\0");
        yield return Case("a byte order mark", "\ufeff" + gpu);
        yield return Case("blanks around", "\r\n\t " + gpu + " \n");
        yield return Case("a comment", "/* */" + gpu);
        yield return Case("a comma too many", gpu[..^1] + ",}");
        yield return Case(
            "HostConfig's members at the top",
            $$"""{"Image":"{{Image}}","Cmd":["sleep","300"],"NetworkMode":"none"{{Request}}}"""
        );
        yield return Case(
            "Privileged at the top",
            $$"""{"Image":"{{Image}}","Cmd":["sleep","300"],"NetworkMode":"none","Privileged":true}""",
            "/v1.18/containers/create"
        );
        foreach (
            var path in (string[])
                [
                    "/containers/create",
                    "/v1.24/containers/create",
                    "/v1.12/containers/create",
                    "/v1.41/containers/%63reate",
                    "/v1.41/%63ontainers/create",
                    "/v1%2e41/containers/create",
                    "/%761.41/containers/create",
                    "/v1.41/containers%2Fcreate",
                    "/v1.41//containers/create",
                    "//containers/create",
                    "/v1.41/./containers/create",
                    "/v1.41/containers/x/../create",
                    "/v1.41/containers/create/",
                    "/v1/containers/create",
                    "/v01.41/containers/create",
                    "/v1.041/containers/create",
                    "/v1.41.0/containers/create",
                    "/v99.99/containers/create",
                    "/v...../containers/create",
                    "/V1.41/containers/create",
                    "/v1.41/Containers/Create",
                    "/v1.41/containers/create?",
                    "/v1.41/containers/create?name=x&fromImage=y",
                    "/v1.41/containers/create;x=y",
                    "/containers/create#x",
                    "/v1.41/containers/create?x=%",
                    "/v1.41/containers/create%3Fname=x",
                    "/v1.41/containers/create%00",
                    "http://docker/v1.41/containers/create",
                    "http:///v1.41/containers/create",
                    "tcp://x:1/containers/create",
                    "http://docker/v1.41/containers/create?x=http://y/",
                    "HTTP://%64ocker/containers/create",
                    "http:/containers/create",
                    "unix:///containers/create",
                ]
        )
            yield return Case(path, gpu, path);
        foreach (
            var type in (string[])
                [
                    "application/x-www-form-urlencoded",
                    "multipart/form-data; boundary=x",
                    "text/plain",
                    "",
                    "application/json; charset=utf-16",
                    "APPLICATION/JSON",
                    "application/json;x=\"\\\"",
                    "application/json, text/plain",
                    "text/json",
                    "application/jsonx",
                    " application/json",
                    "application/vnd.docker+json",
                ]
        )
            yield return Case($"type {type}", gpu, "/v1.41/containers/create", $"Content-Type: {type}");
        yield return Case(
            "two types",
            gpu,
            "/v1.41/containers/create",
            "Content-Type: application/json",
            "Content-Type: text/plain"
        );
        yield return Case(
            "two types the other way",
            gpu,
            "/v1.41/containers/create",
            "Content-Type: text/plain",
            "Content-Type: application/json"
        );
        yield return Case(
            "in chunks",
            $"{gpu.Length:x}\r\n{gpu}\r\n0\r\n\r\n",
            "/v1.41/containers/create",
            "Content-Length: ",
            "Transfer-Encoding: chunked"
        );
        yield return Case(
            "a length too short",
            gpu + Body(),
            "/v1.41/containers/create",
            $"Content-Length: {gpu.Length}"
        );
        yield return Case("an encoding", gpu, "/v1.41/containers/create", "Content-Encoding: gzip");
        yield return Case("override of the method", gpu, "/v1.41/containers/create", "X-HTTP-Method-Override: GET");
        yield return Case(
            "a header like the plugin's",
            gpu,
            "/v1.41/containers/create",
            "X-Runai-Secret: x",
            "X-Runai: x"
        );
        yield return Case("1 MiB", gpu + new string(' ', 1 << 20));
        yield return Case("1 MiB of env", Body(Request, $$""","Env":["X={{new string('x', 1 << 20)}}"]"""));
        yield return Case("just below 1 MiB", gpu + new string(' ', (1 << 20) - gpu.Length - 1));
        yield return Case("exactly 1 MiB", gpu + new string(' ', (1 << 20) - gpu.Length));
        yield return Case("4 MiB", gpu + new string(' ', 4 << 20));
        yield return Case(
            "nested deep",
            Body(Request, $$""","X":{{new string('[', 5000)}}{{new string(']', 5000)}}""")
        );
        yield return Case("a single string for a list", Body(""","Binds":"/dev:/x" """));
        yield return Case("capabilities flat", Body(""","DeviceRequests":[{"Count":1,"Capabilities":["gpu"]}]"""));
        yield return Case("count as text", Body(""","DeviceRequests":[{"Count":"1","Capabilities":[["gpu"]]}]"""));
        yield return Case("count in exponents", Body(""","DeviceRequests":[{"Count":1e0,"Capabilities":[["gpu"]]}]"""));
        yield return Case("privileged as a number", Body(""","Privileged":1"""));
        yield return Case("half a surrogate", Body(Request, ""","Labels":{"\ud800":"x"}"""));
    }

    [TestCaseSource(nameof(Disguises))]
    public void A_disguise(string body, string target, string[] headers)
    {
        var attempt = Try(body, target, headers);
        Assert.That(attempt.Breach, Is.Null, attempt.ToString());
    }

    /// <summary>The old API's start takes a configuration of its own.</summary>
    [TestCase("/v1.23/containers/{0}/start")]
    [TestCase("/v1.18/containers/{0}/start")]
    [TestCase("/v1.23/containers/{0}/%73tart")]
    [TestCase("http://x/v1.12/containers/{0}/start")]
    [TestCase("/v1.023/containers/{0}/start")]
    [TestCase("/v1.23.9/containers/{0}/start")]
    [TestCase("/v.1/containers/{0}/start")]
    [TestCase("/containers/{0}/start")]
    [TestCase("/v1.24/containers/{0}/start")]
    public void A_start_with_a_configuration(string target)
    {
        foreach (var body in (string[])["""{"Privileged":true}""", """{"Binds":["/dev:/x"]}"""])
        foreach (
            var headers in (string[][])
                [
                    [],
                    ["Content-Length: ", "Transfer-Encoding: chunked"],
                ]
        )
        {
            var id = Attempt.IdIn(Engine.Raw("POST", "/v1.41/containers/create", Encoding.UTF8.GetBytes(Body())).Body)!;
            var bytes = headers.Length == 2 ? $"{body.Length:x}\r\n{body}\r\n0\r\n\r\n" : body;
            Engine.Raw(
                "POST",
                string.Format(System.Globalization.CultureInfo.InvariantCulture, target, id),
                Encoding.UTF8.GetBytes(bytes),
                headers
            );
            Assert.That(Attempt.FindBreach(Engine, id, Most), Is.Null, body);
            Engine.Raw("POST", $"/containers/{id}/stop?t=0");
            Engine.Raw("POST", $"/containers/{id}/start");
            Assert.That(Attempt.FindBreach(Engine, id, Most), Is.Null, $"{body}, at the second start");
        }
    }
}
