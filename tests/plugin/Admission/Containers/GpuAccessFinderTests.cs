// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Requests;

namespace Runai.GpuMemory.Tests.Admission.Containers;

sealed class GpuAccessFinderTests
{
    static GpuAccess? Find(string host, string env = "[]", string runtime = "runc", bool hasGpu = true)
    {
        Assert.That(
            CreateBody.TryRead(
                Encoding.UTF8.GetBytes($$"""{"Env":{{env}},"HostConfig":{{host}}}"""),
                out var body,
                out var problem
            ),
            problem
        );
        return new ContainerSpecMapper(new FakeVolumes(), new FakeNodes { HasGpu = hasGpu })
            .FromCreateBody(body!, null, [], runtime)
            .Gpu;
    }

    [TestCase("""{"DeviceRequests":[{"Driver":"","Count":-1,"Capabilities":[["gpu"]]}]}""", "--gpus")]
    [TestCase("""{"DeviceRequests":[{"Driver":"nvidia","DeviceIDs":["0"],"Capabilities":[["gpu"]]}]}""", "--gpus")]
    [TestCase("""{"DeviceRequests":[{"Count":1,"Capabilities":[["compute"]]}]}""", "--gpus")]
    [TestCase("""{"DeviceRequests":[{"Count":1,"Capabilities":[["utility","compat32"]]}]}""", "--gpus")]
    [TestCase("""{"DeviceRequests":[{}]}""", "--gpus")]
    [TestCase("""{"DeviceRequests":[null]}""", "--gpus")]
    [TestCase(
        """{"DeviceRequests":[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=0"]}]}""",
        "CDI device nvidia.com/gpu=0"
    )]
    [TestCase(
        """{"DeviceRequests":[{"Driver":"cdi","DeviceIDs":["acme.com/thing=x"]}]}""",
        "CDI device acme.com/thing=x"
    )]
    [TestCase("""{"Annotations":{"cdi.k8s.io/x":"nvidia.com/gpu=all"}}""", "annotation cdi.k8s.io/x")]
    [TestCase(
        """{"Devices":[{"PathOnHost":"/dev/nvidia0","PathInContainer":"/dev/nvidia0","CgroupPermissions":"rwm"}]}""",
        "device /dev/nvidia0"
    )]
    [TestCase("""{"Devices":[{"PathOnHost":"/dev/nvidia-uvm"}]}""", "device /dev/nvidia-uvm")]
    [TestCase("""{"Devices":[{"PathOnHost":"/dev/nvidia-caps/nvidia-cap1"}]}""", "device /dev/nvidia-caps/nvidia-cap1")]
    [TestCase("""{"Devices":[{"PathOnHost":"/dev/dri/renderD128"}]}""", "device /dev/dri/renderD128")]
    [TestCase("""{"Devices":[{"PathOnHost":"/dev/char/195:0"}]}""", "device /dev/char/195:0")]
    [TestCase("""{"Devices":[{"PathOnHost":"/dev/mygpu"}]}""", "device /dev/mygpu")]
    [TestCase("""{"Devices":[{"PathOnHost":"/dev"}]}""", "device /dev/nvidia0")]
    [TestCase("""{"Devices":[{"PathOnHost":"/home/eve/link"}]}""", "device /home/eve/link")]
    [TestCase("""{"Devices":[{"PathOnHost":"nvidia.com/gpu=all"}]}""", "device nvidia.com/gpu=all")]
    [TestCase("""{"DeviceCgroupRules":["c 195:* rwm"]}""", "device rule \"c 195:* rwm\"")]
    [TestCase("""{"DeviceCgroupRules":["c 226:128 rw"]}""", "device rule \"c 226:128 rw\"")]
    [TestCase("""{"DeviceCgroupRules":["c 510:0 rw"]}""", "device rule \"c 510:0 rw\"")]
    [TestCase("""{"DeviceCgroupRules":["c *:* m"]}""", "device rule \"c *:* m\"")]
    [TestCase("""{"DeviceCgroupRules":["a *:* rwm"]}""", "device rule \"a *:* rwm\"")]
    [TestCase("""{"DeviceCgroupRules":["a"]}""", "device rule a")]
    [TestCase("""{"DeviceCgroupRules":["a 1:3 rwm"]}""", "device rule \"a 1:3 rwm\"")]
    [TestCase("""{"DeviceCgroupRules":["A 1:3 rwm"]}""", "device rule \"A 1:3 rwm\"")]
    [TestCase("""{"DeviceCgroupRules":[""]}""", "device rule ")]
    [TestCase("""{"Privileged":true}""", "--privileged")]
    [TestCase("""{"Binds":["/:/host/dev"]}""", "mount of /")]
    [TestCase("""{"Binds":["/dev:/host/dev"]}""", "mount of /dev")]
    [TestCase("""{"Binds":["/dev/nvidia0:/dev/nvidia0:rw"]}""", "mount of /dev/nvidia0")]
    [TestCase("""{"Mounts":[{"Type":"bind","Source":"/dev/dri","Target":"/dev/dri"}]}""", "mount of /dev/dri")]
    [TestCase(
        """{"Mounts":[{"Type":"volume","Source":"","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/dev"}}}}]}""",
        "mount of /dev"
    )]
    [TestCase("""{"Privileged":true,"DeviceRequests":[{"Count":1}]}""", "--gpus, --privileged")]
    public void Each_way_to_a_GPU_is_found(string host, string via) => Assert.That(Find(host)?.Via, Is.EqualTo(via));

    [TestCase("""{"Runtime":"nvidia"}""", """["NVIDIA_VISIBLE_DEVICES=all"]""", "runc", "NVIDIA_VISIBLE_DEVICES=all")]
    [TestCase(
        """{"Runtime":"nvidia-cdi"}""",
        """["NVIDIA_VISIBLE_DEVICES=0,GPU-11"]""",
        "runc",
        "NVIDIA_VISIBLE_DEVICES=0,GPU-11"
    )]
    [TestCase("""{"Runtime":"gpu"}""", """["NVIDIA_VISIBLE_DEVICES=0"]""", "runc", "NVIDIA_VISIBLE_DEVICES=0")]
    [TestCase("{}", """["NVIDIA_VISIBLE_DEVICES=all"]""", "nvidia", "NVIDIA_VISIBLE_DEVICES=all")]
    [TestCase(
        "{}",
        """["NVIDIA_VISIBLE_DEVICES=void","NVIDIA_VISIBLE_DEVICES=all"]""",
        "nvidia",
        "NVIDIA_VISIBLE_DEVICES=all"
    )]
    [TestCase(
        "{}",
        """["NVIDIA_VISIBLE_DEVICES=all","NVIDIA_VISIBLE_DEVICES"]""",
        "nvidia",
        "NVIDIA_VISIBLE_DEVICES=all"
    )]
    [TestCase(
        "{}",
        """["NVIDIA_VISIBLE_DEVICES","NVIDIA_VISIBLE_DEVICES=all"]""",
        "nvidia",
        "NVIDIA_VISIBLE_DEVICES=all"
    )]
    [TestCase("""{"Runtime":"runsc"}""", """["NVIDIA_VISIBLE_DEVICES=all"]""", "runc", "NVIDIA_VISIBLE_DEVICES=all")]
    [TestCase("{}", """["CUDA_VERSION=8.0"]""", "nvidia", "an old CUDA image")]
    [TestCase(
        """{"Binds":["/dev/null:/var/run/nvidia-container-devices/all"]}""",
        "[]",
        "nvidia",
        "mount at /var/run/nvidia-container-devices/all"
    )]
    [TestCase("{}", """["CUDA_VERSION=8.0","NVIDIA_REQUIRE_CUDA="]""", "nvidia", "an old CUDA image")]
    [TestCase("{}", """["DOCKER_RESOURCE_GPU=0"]""", "nvidia", "DOCKER_RESOURCE_GPU=0")]
    [TestCase(
        """{"Runtime":"nvidia"}""",
        """["NVIDIA_VISIBLE_DEVICES=void","DOCKER_RESOURCE_NVIDIA-GPU=GPU-1"]""",
        "runc",
        "DOCKER_RESOURCE_NVIDIA-GPU=GPU-1"
    )]
    [TestCase(
        "{}",
        """["NVIDIA_VISIBLE_DEVICES=1","DOCKER_RESOURCE_GPU=0","DOCKER_RESOURCE_OTHER=x"]""",
        "nvidia",
        "NVIDIA_VISIBLE_DEVICES=1, DOCKER_RESOURCE_GPU=0, DOCKER_RESOURCE_OTHER=x"
    )]
    [TestCase(
        "{}",
        """["DOCKER_RESOURCE_GPU=void","DOCKER_RESOURCE_B=none","DOCKER_RESOURCE_C=","DOCKER_RESOURCES=0","docker_resource_gpu=0"]""",
        "nvidia",
        null
    )]
    [TestCase("{}", """["DOCKER_RESOURCE_GPU=0"]""", "runc", null)]
    [TestCase(
        """{"DeviceRequests":[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=0"]}]}""",
        """["DOCKER_RESOURCE_GPU=1"]""",
        "runc",
        "CDI device nvidia.com/gpu=0"
    )]
    [TestCase(
        """{"DeviceRequests":[{"DeviceIDs":["0"]}]}""",
        """["DOCKER_RESOURCE_GPU=1"]""",
        "runc",
        "--gpus, DOCKER_RESOURCE_GPU=1"
    )]
    [TestCase(
        """{"DeviceRequests":[{"DeviceIDs":["0"]}],"Binds":["/dev/null:/var/run/nvidia-container-devices/1"]}""",
        "[]",
        "runc",
        "--gpus, mount at /var/run/nvidia-container-devices/1"
    )]
    [TestCase("""{"DeviceRequests":[{"DeviceIDs":["0"]}]}""", """["NVIDIA_VISIBLE_DEVICES=all"]""", "runc", "--gpus")]
    [TestCase(
        """{"DeviceRequests":[{"DeviceIDs":["0"],"Capabilities":[["gpu"]]}]}""",
        """["NVIDIA_VISIBLE_DEVICES=all"]""",
        "nvidia",
        "--gpus"
    )]
    [TestCase(
        """{"DeviceRequests":[{"Driver":"nvidia","Count":1}],"Runtime":"nvidia"}""",
        """["CUDA_VERSION=8.0"]""",
        "runc",
        "--gpus"
    )]
    [TestCase(
        """{"DeviceRequests":[{"Count":0}]}""",
        """["NVIDIA_VISIBLE_DEVICES=all"]""",
        "nvidia",
        "--gpus, NVIDIA_VISIBLE_DEVICES=all"
    )]
    [TestCase(
        """{"DeviceRequests":[{"Count":1,"Capabilities":[["gpu","amd"]]}]}""",
        """["NVIDIA_VISIBLE_DEVICES=all"]""",
        "nvidia",
        "--gpus, NVIDIA_VISIBLE_DEVICES=all"
    )]
    [TestCase(
        """{"DeviceRequests":[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=0"]}]}""",
        """["NVIDIA_VISIBLE_DEVICES=all"]""",
        "nvidia",
        "CDI device nvidia.com/gpu=0, NVIDIA_VISIBLE_DEVICES=all"
    )]
    [TestCase("{}", """["NVIDIA_VISIBLE_DEVICES=void"]""", "nvidia", null)]
    [TestCase("{}", """["NVIDIA_VISIBLE_DEVICES=none"]""", "nvidia", null)]
    [TestCase("{}", """["NVIDIA_VISIBLE_DEVICES="]""", "nvidia", null)]
    [TestCase("{}", """["CUDA_VERSION=12.4","NVIDIA_REQUIRE_CUDA=cuda>=12.4"]""", "nvidia", null)]
    [TestCase("{}", "[]", "nvidia", null)]
    [TestCase("""{"Runtime":"runc"}""", """["NVIDIA_VISIBLE_DEVICES=all"]""", "nvidia", null)]
    [TestCase("{}", """["NVIDIA_VISIBLE_DEVICES=all"]""", "runc", null)]
    public void The_runtime_and_the_environment_decide_together(
        string host,
        string env,
        string defaultRuntime,
        string? via
    ) => Assert.That(Find(host, env, defaultRuntime)?.Via, Is.EqualTo(via));

    [TestCase("{}")]
    [TestCase("""{"DeviceRequests":[],"Devices":[],"DeviceCgroupRules":null}""")]
    [TestCase("""{"Devices":[{"PathOnHost":"/dev/fuse"}]}""")]
    [TestCase("""{"Devices":[{"PathOnHost":"/dev/snd"}]}""")]
    [TestCase("""{"DeviceCgroupRules":["c 10:229 rwm","b *:* rwm","c 189:* rwm"]}""")]
    [TestCase("""{"Binds":["/home/eve:/home/eve","/dev/shm:/dev/shm","data:/data"]}""")]
    [TestCase("""{"Annotations":{"other":"nvidia.com/gpu=all"}}""")]
    [TestCase("""{"Privileged":false,"CapAdd":["SYS_ADMIN"]}""")]
    public void Other_devices_are_no_way_to_a_GPU(string host) => Assert.That(Find(host), Is.Null);

    [Test]
    public void Privileged_gives_no_GPU_on_a_host_without() =>
        Assert.That(Find("""{"Privileged":true}""", hasGpu: false), Is.Null);

    [TestCase("""{"DeviceRequests":[{"Count":-1}]}""", new[] { 0, 1 })]
    [TestCase("""{"DeviceRequests":[{"Count":1}]}""", new[] { 0 })]
    [TestCase("""{"DeviceRequests":[{"Count":5}]}""", new[] { 0, 1 })]
    [TestCase("""{"DeviceRequests":[{"Count":1099511627776}]}""", new[] { 0, 1 })]
    [TestCase("""{"DeviceRequests":[{"Count":-1099511627776}]}""", new[] { 0, 1 })]
    [TestCase("""{"DeviceRequests":[{"DeviceIDs":["1"]}]}""", new[] { 1 })]
    [TestCase("""{"DeviceRequests":[{"DeviceIDs":["1","GPU-2222"]}]}""", new[] { 1 })]
    [TestCase("""{"DeviceRequests":[{"DeviceIDs":["GPU-11111111-0000"]}]}""", new[] { 0 })]
    [TestCase("""{"DeviceRequests":[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=all"]}]}""", new[] { 0, 1 })]
    [TestCase("""{"DeviceRequests":[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=1"]}]}""", new[] { 1 })]
    [TestCase("""{"Privileged":true}""", new[] { 0, 1 })]
    [TestCase("""{"DeviceRequests":[{"DeviceIDs":["GPU-"]}]}""", null)]
    [TestCase("""{"DeviceRequests":[{"DeviceIDs":["MIG-1"]}]}""", null)]
    [TestCase("""{"DeviceRequests":[{"DeviceIDs":["7"]}]}""", null)]
    [TestCase("""{"Devices":[{"PathOnHost":"/dev/nvidia1"}]}""", null)]
    public void The_visible_GPUs_are_worked_out_where_possible(string host, int[]? indexes) =>
        Assert.That(
            VisibleGpus.Of(Find(host)!.Selection, new FakeGpus().Devices)?.Select(g => g.Index),
            Is.EqualTo(indexes)
        );

    /// <summary>Null: each of the host's counts.</summary>
    [TestCase("DOCKER_RESOURCE_GPU=1", new[] { 1 })]
    [TestCase("DOCKER_RESOURCE_GPU=GPU-2222", new[] { 1 })]
    [TestCase("DOCKER_RESOURCE_GPU=all", new[] { 0, 1 })]
    [TestCase("DOCKER_RESOURCE_GPU=some", null)]
    [TestCase("DOCKER_RESOURCE_GPU=0\",\"NVIDIA_VISIBLE_DEVICES=1", null)]
    [TestCase("DOCKER_RESOURCE_A=0\",\"DOCKER_RESOURCE_B=1", null)]
    public void A_swarm_resource_names_GPUs(string env, int[]? indexes) =>
        Assert.That(
            VisibleGpus
                .Of(Find("{}", $"[\"{env}\"]", "nvidia")!.Selection, new FakeGpus().Devices)
                ?.Select(g => g.Index),
            Is.EqualTo(indexes)
        );

    [Test]
    public void With_gpus_an_image_for_all_sees_the_requested() =>
        Assert.That(
            VisibleGpus
                .Of(
                    Find(
                        """{"DeviceRequests":[{"DeviceIDs":["1"]}]}""",
                        """["NVIDIA_VISIBLE_DEVICES=all"]""",
                        "nvidia"
                    )!.Selection,
                    new FakeGpus().Devices
                )
                ?.Select(g => g.Index),
            Is.EqualTo(new[] { 1 })
        );

    [Test]
    public void With_gpus_a_swarm_resource_may_be_another_GPU() =>
        Assert.That(
            VisibleGpus.Of(
                Find("""{"DeviceRequests":[{"DeviceIDs":["0"]}]}""", """["DOCKER_RESOURCE_GPU=1"]""")!.Selection,
                new FakeGpus().Devices
            ),
            Is.Null
        );

    [TestCase(
        """{"NamedResourceSpec":{"Kind":"gpu","Value":"GPU-1"},"DiscreteResourceSpec":null}""",
        "DOCKER_RESOURCE_GPU=some"
    )]
    [TestCase("""{"DiscreteResourceSpec":{"Kind":"NVIDIA-gpu","Value":1}}""", "DOCKER_RESOURCE_NVIDIA-GPU=some")]
    public void A_service_asks_by_its_generic_resources(string resource, string via)
    {
        var json =
            """{"TaskTemplate":{"ContainerSpec":{"Image":"x"},"Resources":{"Reservations":{"GenericResources":[null,RESOURCE]}}}}""".Replace(
                "RESOURCE",
                resource,
                StringComparison.Ordinal
            );
        Assert.That(StrictBodies.Service.TryRead(Encoding.UTF8.GetBytes(json), out var body, out var problem), problem);
        GpuAccess? Find(string runtime) =>
            new ContainerSpecMapper(new FakeVolumes(), new FakeNodes())
                .FromCreateBody(body!.ToCreateBody(), null, [], runtime)
                .Gpu;
        Assert.That((Find("nvidia")?.Via, Find("runc")), Is.EqualTo((via, (GpuAccess?)null)));
    }
}
