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
        var attempt = Try(Body.Gpu.Volume().Quota("0.5"));
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
            () => Try(Body.Gpu) is { Runs: true, Breach: not null },
            "without the policy a container with the whole GPU runs, and is noticed"
        );
        Assert.That(
            Try(Body.Plain.Runtime("nvidia").Env("DOCKER_RESOURCE_GPU=0")),
            Has.Property("Runs").True.And.Property("Breach").Not.Null,
            "by a swarm resource"
        );
        foreach (var request in Engine.Major < 28 ? [] : CdiRequests)
            Assert.That(
                Try(Body.Plain.Requests(request)),
                Has.Property("Runs").True.And.Property("Breach").Not.Null,
                request
            );
        Engine.WritePolicy(PolicyFile);
        Eventually(() => Try(Body.Gpu).IsRefused, "the policy is back");
    }

    static readonly string[] CdiRequests =
    [
        """{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=all"]}""",
        """{"Driver":"cdi","DeviceIDs":["acme.com/thing=any"]}""",
    ];

    [Test]
    public void A_CDI_device_with_a_quota_is_limited()
    {
        if (Engine.Major < 28)
            Assert.That(
                Try(Body.Plain.Requests(CdiRequests[0]).Volume().Quota("0.5")).Runs,
                Is.False,
                "it knows no CDI"
            );
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
        static TestCaseData Case(string name, Body body) => new TestCaseData(body).SetArgDisplayNames(name);
        foreach (var capability in (string[])["gpu", "compute", "utility", "graphics", "video", "display", "compat32"])
            yield return Case(
                $"request by capability {capability}",
                Body.Plain.Requests($$"""{"Count":-1,"Capabilities":[["{{capability}}"]]}""")
            );
        yield return Case(
            "request of the nvidia driver",
            Body.Plain.Requests("""{"Driver":"nvidia","Count":1,"Capabilities":[["gpu","utility"]]}""")
        );
        yield return Case(
            "request by ID",
            Body.Plain.Requests("""{"Driver":"nvidia","DeviceIDs":["0"],"Capabilities":[["gpu"]]}""")
        );
        foreach (var request in CdiRequests)
            yield return Case($"request of CDI {request[^19..]}", Body.Plain.Requests(request));
        yield return Case(
            "request after an empty one",
            Body.Plain.Requests("""{"Driver":"other"},{"Count":1,"Capabilities":[["gpu"]]}""")
        );
        yield return Case("device node", Body.Plain.Device("/dev/nvidia0", "/dev/nvidia0"));
        yield return Case("device node of the second GPU", Body.Plain.Device("/dev/nvidia1", "/dev/null1"));
        yield return Case("device node by another name", Body.Plain.Device("/dev/innocent", "/dev/innocent"));
        yield return Case("device node by number", Body.Plain.Device("/dev/char/195:0"));
        yield return Case("device node by dots", Body.Plain.Device("/dev/shm/../nvidia0"));
        yield return Case("device node through proc", Body.Plain.Device("/proc/1/root/dev/nvidia0"));
        yield return Case("device folder", Body.Plain.Device("/dev", "/dev"));
        yield return Case("render node", Body.Plain.Device("/dev/dri/renderD128", "/dev/dri/renderD128"));
        yield return Case("folder of render nodes", Body.Plain.Device("/dev/dri", "/dev/dri"));
        yield return Case("CDI name among devices", Body.Plain.Device("nvidia.com/gpu=all", "x"));
        foreach (var rule in (string[])["c 195:* rwm", "c *:* rwm", "a *:* rwm", "c 195:0 rw", "c 226:* r"])
            yield return Case($"device rule {rule}", Body.Plain.HostList("DeviceCgroupRules", rule));
        yield return Case("privileged", Body.Plain.Privileged());
        yield return Case("runtime nvidia", Body.Plain.Runtime("nvidia").Env("NVIDIA_VISIBLE_DEVICES=all"));
        yield return Case("runtime nvidia, one GPU", Body.Plain.Runtime("nvidia").Env("NVIDIA_VISIBLE_DEVICES=0"));
        yield return Case(
            "runtime nvidia, the later value counts",
            Body.Plain.Runtime("nvidia").Env("NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_VISIBLE_DEVICES=all")
        );
        yield return Case(
            "runtime nvidia, with a bare name behind",
            Body.Plain.Runtime("nvidia").Env("NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES")
        );
        yield return Case("runtime nvidia, by the image", Body.Plain.Runtime("nvidia").Image("cuda"));
        yield return Case("runtime nvidia, an old image", Body.Plain.Runtime("nvidia").Image("old-cuda"));
        yield return Case(
            "runtime nvidia, by a swarm resource",
            Body.Plain.Runtime("nvidia").Env("DOCKER_RESOURCE_GPU=0")
        );
        yield return Case(
            "runtime nvidia, by a swarm resource of the image",
            Body.Plain.Runtime("nvidia").Image("swarm-cuda")
        );
        yield return Case(
            "runtime nvidia, an old image's requirement emptied",
            Body.Plain.Runtime("nvidia").Env("NVIDIA_REQUIRE_CUDA=").Image("old-cuda")
        );
        yield return Case(
            "annotation of CDI",
            Body.Plain.Host(""" "Annotations":{"cdi.k8s.io/x":"nvidia.com/gpu=all"} """)
        );
        yield return Case("bind of /dev", Body.Plain.Binds("/dev:/x"));
        yield return Case("bind of a node", Body.Plain.Binds("/dev/nvidia0:/x"));
        yield return Case("bind of a node by another name", Body.Plain.Binds("/dev/innocent:/x"));
        yield return Case(
            "mount of a node",
            Body.Plain.Mount(""" "Type":"bind","Source":"/dev/nvidia0","Target":"/x" """)
        );
        yield return Case(
            "inline local volume of /dev",
            Body.Plain.LocalVolume(""" "type":"none","o":"bind","device":"/dev" """, "devs")
        );
        yield return Case(
            "anonymous inline local volume of /dev",
            Body.Plain.Mount(
                """
                "Type":"volume","Target":"/x",
                "VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/dev"} } }
                """
            )
        );
        yield return Case(
            "inline volume of devtmpfs",
            Body.Plain.LocalVolume(""" "type":"devtmpfs","device":"devtmpfs" """, "devs2")
        );
        yield return Case(
            "inline volume by overlay",
            Body.Plain.LocalVolume(""" "type":"overlay","device":"overlay","o":"lowerdir=/dev/dri:/dev" """, "devs3")
        );
        foreach (var quota in (string[])["0.6", "1", "10g", "2", "", "1e-1", " 0.5", "0.5 ", "0,5", "½", "0x1"])
            yield return Case($"quota {quota}", Body.Gpu.Volume().Quota(quota));
        yield return Case("quota of the image", Body.Gpu.Volume().Image("labelled-1"));
        yield return Case("quota of the image without the volume", Body.Gpu.Image("labelled"));
        yield return Case("label without the volume", Body.Gpu.Quota("0.5"));
        yield return Case(
            "a volume of another driver by the name",
            Body.Gpu.Mount(""" "Type":"volume","Source":"runai2","Target":"/runai" """).Quota("0.5")
        );
        yield return Case("the volume covered", Body.Gpu.Volume().Tmpfs("/runai").Quota("0.5"));
        foreach (var spelling in (string[])["/runai/", "//runai", "/x/../runai", "/runai/."])
            yield return Case($"the volume covered at {spelling}", Body.Gpu.Volume().Tmpfs(spelling).Quota("0.5"));
        yield return Case("a part of the volume covered", Body.Gpu.Volume().Tmpfs("/runai/usage").Quota("0.5"));
        yield return Case("/etc covered", Body.Gpu.Volume().Tmpfs("/etc").Quota("0.5"));
        yield return Case(
            "the preload file covered",
            Body.Gpu.Binds("runai:/runai", "/etc/hostname:/etc/ld.so.preload").Quota("0.5")
        );
        yield return Case(
            "the preload file covered by a volume",
            Body.Gpu.Binds("runai:/runai", "other:/etc").Quota("0.5")
        );
        yield return Case("read-only root", Body.Gpu.Volume().Host("\"ReadonlyRootfs\":true").Quota("0.5"));
        yield return Case("dots in the target", Body.Gpu.Volume().Tmpfs("/x/../etc").Quota("0.5"));
        yield return Case("the volume at the root's etc", Body.Gpu.Binds("runai:/etc").Quota("0.5"));
    }

    [TestCaseSource(nameof(Vectors))]
    public void No_way_to_a_GPU_avoids_the_quota(Body body)
    {
        var attempt = Try(body);
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
            Body.Plain.HostList("VolumesFrom", "source"),
            Body.Gpu.HostList("VolumesFrom", "ours").Tmpfs("/runai").Quota("0.5"),
            Body.Gpu.HostList("VolumesFrom", "ours")
        );
    }

    void AllRefused(params Body[] bodies)
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
                Body.Plain.Binds("devices:/x"),
                Body.Plain.Mount(""" "Type":"volume","Source":"devices","Target":"/x" """)
            );
    }

    [Test]
    public void A_local_volume_remade_after_create()
    {
        var created = Engine.Raw("POST", "/v1.41/containers/create", Body.Plain.Binds("later:/x").Bytes);
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
        string gpu = Body.Gpu;
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
                        "Privileged" => Body.Plain.Privileged(),
                        "Binds" => Body.Plain.Binds("/dev:/x"),
                        "Runtime" => Body.Plain.Runtime("nvidia").Env("NVIDIA_VISIBLE_DEVICES=all"),
                        _ => Body.Gpu,
                    }
                )
                    .ToString()
                    .Replace(plain, spelling, StringComparison.Ordinal)
            );
        yield return Case(
            "labels in capitals too",
            Body.Gpu.Volume().With(""" "Labels":{"gpu-memory":"1"},"LABELS":{"gpu-memory":"0.5"} """)
        );
        yield return Case(
            "HostConfig twice",
            Body.Plain.With(""" "HostConfig":{"DeviceRequests":[{"Count":1,"Capabilities":[["gpu"]]}]} """)
        );
        yield return Case("HostConfig twice, the second empty", gpu[..^1] + ""","HostConfig":{}}""");
        yield return Case("HostConfig twice in other cases", gpu[..^1] + ""","hostConfig":{"NetworkMode":"none"}}""");
        yield return Case("requests twice", Body.Gpu.Host(""" "DeviceRequests":[] """));
        yield return Case("requests and null", Body.Gpu.Host(""" "DeviceRequests":null """));
        yield return Case(
            "a capability twice",
            Body.Plain.Requests("""{"Count":1,"Capabilities":[],"Capabilities":[["gpu"]]}""")
        );
        yield return Case(
            "a label twice",
            Body.Gpu.Volume().With(""" "Labels":{"gpu-memory":"0.5","gpu-memory":"1"} """)
        );
        yield return Case(
            "labels twice",
            Body.Gpu.Volume().With(""" "Labels":{"gpu-memory":"0.5"},"Labels":{"gpu-memory":"1"} """)
        );
        yield return Case(
            "a label with an escape",
            Body.Gpu.Volume().With(""" "Labels":{"gpu-memory":"0.5","gpu\u002dmemory":"1"} """)
        );
        yield return Case("Privileged twice", Body.Plain.Host("\"Privileged\":false").Privileged());
        yield return Case("data behind", gpu + "{}");
        yield return Case("a harmless body, then a GPU", Body.Plain + gpu);
        yield return Case("a GPU, then a bracket", gpu + "]");
        yield return Case("a NUL behind", gpu + "\0");
        yield return Case("a byte order mark", "\ufeff" + gpu);
        yield return Case("blanks around", "\r\n\t " + gpu + " \n");
        yield return Case("a comment", "/* */" + gpu);
        yield return Case("a comma too many", gpu[..^1] + ",}");
        yield return Case(
            "HostConfig's members at the top",
            $$"""{"Image":"{{Image}}","Cmd":["sleep","300"],"NetworkMode":"none","DeviceRequests":[{"Count":1,"Capabilities":[["gpu"]]}]}"""
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
            gpu + Body.Plain,
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
        yield return Case("1 MiB of env", Body.Gpu.Env("X=" + new string('x', 1 << 20)));
        yield return Case("just below 1 MiB", gpu + new string(' ', (1 << 20) - gpu.Length - 1));
        yield return Case("exactly 1 MiB", gpu + new string(' ', (1 << 20) - gpu.Length));
        yield return Case("4 MiB", gpu + new string(' ', 4 << 20));
        yield return Case("nested deep", Body.Gpu.With($"\"X\":{new string('[', 5000)}{new string(']', 5000)}"));
        yield return Case("a single string for a list", Body.Plain.Host("Binds", "/dev:/x"));
        yield return Case("capabilities flat", Body.Plain.Requests("""{"Count":1,"Capabilities":["gpu"]}"""));
        yield return Case("count as text", Body.Plain.Requests("""{"Count":"1","Capabilities":[["gpu"]]}"""));
        yield return Case("count in exponents", Body.Plain.Requests("""{"Count":1e0,"Capabilities":[["gpu"]]}"""));
        yield return Case("privileged as a number", Body.Plain.Host("\"Privileged\":1"));
        yield return Case("half a surrogate", Body.Gpu.With(""" "Labels":{"\ud800":"x"} """));
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
            var id = Attempt.IdIn(Engine.Raw("POST", "/v1.41/containers/create", Body.Plain.Bytes).Body)!;
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
