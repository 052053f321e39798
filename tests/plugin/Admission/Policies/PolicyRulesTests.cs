// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Admission.Policies;

sealed class PolicyRulesTests
{
    static Verdict Judge(string json, FakeGpus? gpus = null)
    {
        Assert.That(CreateBody.TryRead(Encoding.UTF8.GetBytes(json), out var body, out var problem), problem);
        return PolicyRules.Evaluate(
            new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromCreateBody(body!, null, [], "runc"),
            Requester.Engine,
            (gpus ?? new()).Devices,
            PolicySettings.BuiltIn
        );
    }

    static readonly TestCaseData[] Refusals =
    [
        new(
            """{"Labels":{"gpu-memory":"0.5"}}""",
            "quota-needs-volume",
            "gpu-memory=0.5 needs the runai volume: add -v runai:/runai"
        ),
        new(
            """{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["/runai:/runai"]}}""",
            "quota-needs-volume",
            "gpu-memory=0.5 needs the runai volume, and the host's /runai is at /runai: add -v runai:/runai in "
                + "its place"
        ),
        new(
            """{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["runai:/runai"],"VolumeDriver":"local"}}""",
            "quota-needs-volume",
            "gpu-memory=0.5 needs the runai volume, and runai is asked for with the driver local: leave the driver out"
        ),
        new(
            """{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["mine:/runai"]}}""",
            "quota-needs-volume",
            "gpu-memory=0.5 needs the runai volume, and mine at /runai is not a volume of this plugin: add -v "
                + "runai:/runai in its place"
        ),
        new(
            """{"Labels":{"gpu-memory":"0.5","com.docker.compose.project":"lab"},"HostConfig":{"Binds":["lab_runai:/runai:rw"]}}""",
            "quota-needs-volume",
            "gpu-memory=0.5 needs the runai volume, and lab_runai at /runai is a volume that Compose makes for "
                + "this project: write \"runai: { external: true }\" under the file's volumes"
        ),
        new(
            """{"Labels":{"gpu-memory":"0.5","com.docker.compose.project":"lab"}}""",
            "quota-needs-volume",
            "gpu-memory=0.5 needs the runai volume: add \"runai:/runai\" to the volumes of the service, and "
                + "\"runai: { external: true }\" to those of the file"
        ),
        new(
            """{"Labels":{"com.docker.compose.project":"lab"},"HostConfig":{"Binds":["runai:/runai"]}}""",
            "volume-needs-quota",
            "the runai volume needs a quota: add gpu-memory: \"0.5\" to the labels of the service"
        ),
        new(
            """{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai","VolumeOptions":{"DriverConfig":{"Name":"local"}}}]}}""",
            "quota-needs-volume",
            "gpu-memory=0.5 needs the runai volume, and runai is asked for with the driver local: leave the driver out"
        ),
        new(
            """{"HostConfig":{"Binds":["runai:/runai"]}}""",
            "volume-needs-quota",
            "the runai volume needs a quota: add --label gpu-memory=0.5"
        ),
        new(
            """{"Labels":{"GPU-MEMORY":"0.5"},"HostConfig":{"Binds":["runai:/runai:nocopy"]}}""",
            "volume-needs-quota",
            "the runai volume needs a quota: add --label gpu-memory=0.5"
        ),
        new(
            """{"Labels":{"gpu-memory":"2"},"HostConfig":{"Binds":["runai:/runai"]}}""",
            "quota-syntax",
            "gpu-memory=2 has no unit: write a fraction of the GPU such as 0.5, or a size with a unit such as "
                + "2g (b, k, m, g, t)"
        ),
        new(
            """{"Labels":{"gpu-memory":"0"}}""",
            "quota-syntax",
            "gpu-memory=0 would leave no GPU memory: write a fraction of the GPU such as 0.5, or a size with a "
                + "unit such as 2g (b, k, m, g, t)"
        ),
        new(
            """{"Labels":{"gpu-memory":"None"},"HostConfig":{"Binds":["half:/runai"]}}""",
            "quota-syntax",
            "gpu-memory=None cannot be read: write a fraction of the GPU such as 0.5, or a size with a unit "
                + "such as 2g (b, k, m, g, t)"
        ),
        new(
            """{"Labels":{"gpu-memory":"none"},"HostConfig":{"Binds":["runai:/runai"]}}""",
            "volume-needs-quota",
            "the runai volume needs a quota: add --label gpu-memory=0.5"
        ),
        new(
            """{"HostConfig":{"Binds":["bad:/runai"]}}""",
            "quota-syntax",
            "gpu-memory=2 has no unit: write a fraction of the GPU such as 0.5, or a size with a unit such as "
                + "2g (b, k, m, g, t)"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai"],"ReadonlyRootfs":true}}""",
            "preload-read-only",
            "--read-only leaves no way to put /etc/ld.so.preload into the container: add --mount "
                + "type=volume,src=half,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload (Docker 26 and newer), "
                + "or -e LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
        ),
        new(
            """{"Env":["LD_PRELOAD=/other/librunai.so"],"HostConfig":{"Binds":["half:/runai"],"ReadonlyRootfs":true}}""",
            "preload-read-only",
            "--read-only leaves no way to put /etc/ld.so.preload into the container: add --mount "
                + "type=volume,src=half,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload (Docker 26 and newer), "
                + "or -e LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai","/my/etc:/etc:ro"]}}""",
            "preload-covered",
            "the mount at /etc covers /etc/ld.so.preload, which loads the quota: remove it, or add --mount "
                + "type=volume,src=half,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload (Docker 26 and newer), "
                + "or -e LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai","/dev/null:/etc//./ld.so.preload"]}}""",
            "preload-covered",
            "the mount at /etc/ld.so.preload covers /etc/ld.so.preload, which loads the quota: remove it, or "
                + "add --mount type=volume,src=half,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload (Docker 26 "
                + "and newer), or -e LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai"],"Tmpfs":{"/etc":""}}}""",
            "preload-covered",
            "the mount at /etc covers /etc/ld.so.preload, which loads the quota: remove it, or add --mount "
                + "type=volume,src=half,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload (Docker 26 and newer), "
                + "or -e LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai","/my/quota:/runai/quota"]}}""",
            "volume-covered",
            "the mount at /runai/quota would cover the half volume at /runai: remove it or move it"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai","/x:/y/../runai/usage/"]}}""",
            "volume-covered",
            "the mount at /runai/usage would cover the half volume at /runai: remove it or move it"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai"],"Tmpfs":{"/x/../runai/":""}}}""",
            "volume-covered",
            "the mount at /runai would cover the half volume at /runai: remove it or move it"
        ),
        new(
            """{"Volumes":{"/runai/usage":{}},"HostConfig":{"Binds":["half:/runai"]}}""",
            "volume-covered",
            "the mount at /runai/usage would cover the half volume at /runai: remove it or move it"
        ),
        new(
            """{"Volumes":{"c:/runai":{}},"HostConfig":{"DeviceRequests":[{"Count":1}]}}""",
            "volume-letter",
            "-v c:/runai names no volume, since a volume's name has two letters or more: write -v "
                + "runai:/runai, or another volume of two letters or more"
        ),
        new(
            """{"HostConfig":{"Binds":["hafl:/runai"],"DeviceRequests":[{"Count":1}]}}""",
            "volume-mistaken",
            "hafl at /runai is not a volume of this plugin, so nothing would limit this container's GPU "
                + "memory: see docker volume ls for the name, or add -v runai:/runai --label gpu-memory=0.5 in its "
                + "place, or mount it elsewhere"
        ),
        new(
            """{"Labels":{"gpu-memory":"none"},"HostConfig":{"Mounts":[{"Type":"volume","Source":"hafl","Target":"/x/../runai/"}],"DeviceRequests":[{"Count":1}]}}""",
            "volume-mistaken",
            "hafl at /runai is not a volume of this plugin, so nothing would limit this container's GPU "
                + "memory: see docker volume ls for the name, or add -v runai:/runai --label gpu-memory=0.5 in its "
                + "place, or mount it elsewhere"
        ),
        new(
            """{"HostConfig":{"Binds":["/data:/runai"],"DeviceRequests":[{"Count":1}]}}""",
            "volume-mistaken",
            "the host's /data is at /runai, the place of this plugin's volumes, so nothing would limit this "
                + "container's GPU memory: add -v runai:/runai --label gpu-memory=0.5 in its place, or mount it "
                + "elsewhere"
        ),
        new(
            """{"Volumes":{"/runai":{}},"HostConfig":{"DeviceRequests":[{"Count":1}]}}""",
            "volume-mistaken",
            "an anonymous volume or a tmpfs is at /runai, the place of this plugin's volumes, so nothing would "
                + "limit this container's GPU memory: add -v runai:/runai --label gpu-memory=0.5 in its place, or "
                + "mount it elsewhere"
        ),
        new(
            """{"HostConfig":{"Tmpfs":{"/runai":""},"DeviceRequests":[{"Count":1}]}}""",
            "volume-mistaken",
            "an anonymous volume or a tmpfs is at /runai, the place of this plugin's volumes, so nothing would "
                + "limit this container's GPU memory: add -v runai:/runai --label gpu-memory=0.5 in its place, or "
                + "mount it elsewhere"
        ),
        new(
            """{"HostConfig":{"Mounts":[{"Type":"tmpfs","Target":"/runai"}],"Privileged":true}}""",
            "volume-mistaken",
            "an anonymous volume or a tmpfs is at /runai, the place of this plugin's volumes, so nothing would "
                + "limit this container's GPU memory: add -v runai:/runai --label gpu-memory=0.5 in its place, or "
                + "mount it elsewhere"
        ),
        new(
            """{"Labels":{"com.docker.compose.project":"lab"},"HostConfig":{"Binds":["lab_half:/runai"],"DeviceRequests":[{"Count":1}]}}""",
            "volume-mistaken",
            "lab_half at /runai is a volume that Compose makes for this project, not one of this plugin, so "
                + "nothing would limit this container's GPU memory: write { external: true } for it under the file's "
                + "volumes, or mount it elsewhere"
        ),
        new(
            """{"Labels":{"com.docker.compose.project":"lab"},"HostConfig":{"Binds":["lab_runai:/opt/gpu"],"DeviceRequests":[{"Count":1}]}}""",
            "volume-mistaken",
            "lab_runai at /opt/gpu is a volume that Compose makes for this project, not one of this plugin, so "
                + "nothing would limit this container's GPU memory: write { external: true } for it under the file's "
                + "volumes, or mount it elsewhere"
        ),
        new(
            """{"HostConfig":{"Binds":["broken:/runai"]}}""",
            "volume-damaged",
            "the file of the volume broken is damaged, so its quota is not known: docker volume rm broken, "
                + "then docker volume create -d runai/gpu-memory -o gpu-memory=0.5 broken with the quota that it had"
        ),
        new(
            """{"Labels":{"gpu-memory":"0.25"},"HostConfig":{"Binds":["broken:/runai"]}}""",
            "volume-damaged",
            "the file of the volume broken is damaged, so its quota is not known: docker volume rm broken, "
                + "then docker volume create -d runai/gpu-memory -o gpu-memory=0.5 broken with the quota that it had"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai","half:/other"]}}""",
            "one-volume",
            "a container has one private directory, and half at /runai and half at /other are 2: mount one "
                + "volume of this plugin once"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai","half:/etc/ld.so.preload"]}}""",
            "one-volume",
            "this engine, or the API version of this call, knows no volume-subpath (Docker 26 and newer do, "
                + "from API 1.45 on), so the whole half volume would be at /etc/ld.so.preload: "
                + "leave that mount out, and where the container has --read-only add -e "
                + "LD_PRELOAD=/runai/librunai.so, which env -i and sudo take away"
        ),
        new(
            $$$"""{"HostConfig":{"Binds":["half:/runai"],"CgroupParent":"/docker/{{{new string('a', 64)}}}"}}""",
            "cgroup-parent",
            $"--cgroup-parent \"/docker/{new string('a', 56)}…\" is another container's control group, and that "
                + "one would be charged for this one's GPU memory: leave it out"
        ),
        new(
            $$$"""{"HostConfig":{"CgroupParent":"/docker/{{{new string('a', 64)}}}"}}""",
            "cgroup-parent",
            $"--cgroup-parent \"/docker/{new string('a', 56)}…\" is another container's control group, and that "
                + "one would be charged for this one's GPU memory: leave it out"
        ),
        new(
            $$$"""{"HostConfig":{"DeviceRequests":[{"Count":1}],"CgroupParent":"system.slice/docker-{{{new string('a', 64)}}}.scope"}}""",
            "cgroup-parent",
            $"--cgroup-parent \"system.slice/docker-{new string('a', 44)}…\" is another container's control "
                + "group, and that one would be charged for this one's GPU memory: leave it out"
        ),
        new(
            """{"HostConfig":{"DeviceRequests":[{"Count":1025}]}}""",
            "gpu-count",
            "--gpus 1025 is more than the 1024 GPUs that a container may ask for: write --gpus all"
        ),
        new(
            """{"HostConfig":{"DeviceRequests":[null,{"Count":1},{"Driver":"cdi","Count":1099511627776}]}}""",
            "gpu-count",
            "--gpus 1099511627776 is more than the 1024 GPUs that a container may ask for: write --gpus all"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai:ro"]}}""",
            "volume-read-only",
            "the half volume at /runai is read-only by itself but for a folder that the container's processes "
                + "share: leave ro out"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai:z,ro"]}}""",
            "volume-read-only",
            "the half volume at /runai is read-only by itself but for a folder that the container's processes "
                + "share: leave ro out"
        ),
        new(
            """{"HostConfig":{"Mounts":[{"Type":"volume","Source":"half","Target":"/runai","ReadOnly":true}]}}""",
            "volume-read-only",
            "the half volume at /runai is read-only by itself but for a folder that the container's processes "
                + "share: leave ro out"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/etc"]}}""",
            "volume-target",
            "the half volume cannot be at /etc: mount it at /runai"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/etc/ld.so.preload"]}}""",
            "volume-target",
            "the half volume cannot be at /etc/ld.so.preload: mount it at /runai"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/my gpu"]}}""",
            "volume-target",
            "the half volume cannot be at \"/my gpu\": mount it at /runai"
        ),
        new(
            """{"HostConfig":{"Mounts":[{"Type":"volume","Source":"half","Target":"/${LIB}"}]}}""",
            "volume-target",
            "the half volume cannot be at \"/${LIB}\": mount it at /runai"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/runai"],"Mounts":[{"Type":"volume","Source":"half","Target":"/q","VolumeOptions":{"Subpath":"usage"}}]}}""",
            "volume-subpath",
            "usage of the half volume cannot be mounted at /q: mount the whole volume, and of its parts only "
                + "ld.so.preload at /etc/ld.so.preload"
        ),
        new(
            """{"HostConfig":{"Binds":["half:/gpu"],"Mounts":[{"Type":"volume","Source":"half","Target":"/etc/ld.so.preload","VolumeOptions":{"Subpath":"ld.so.preload"}}]}}""",
            "volume-subpath",
            "ld.so.preload of the volume names /runai/librunai.so, and the volume is at /gpu: mount it at /runai"
        ),
        new(
            """{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Mounts":[{"Type":"volume","Source":"runai","Target":"/etc/ld.so.preload","VolumeOptions":{"Subpath":"ld.so.preload"}}]}}""",
            "quota-needs-volume",
            "/etc/ld.so.preload of the runai volume needs the volume itself: add -v runai:/runai"
        ),
        new(
            """{"Labels":{"gpu-memory":"200g"},"HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"Count":1}]}}""",
            "quota-exceeds-gpu",
            "gpu-memory=200g is more than GPU 0 (NVIDIA H200) has: 214748364800 > 150754820096 bytes (200g > "
                + "140.4g): write gpu-memory=1 for all of it, or a smaller size"
        ),
        new(
            """{"Labels":{"gpu-memory":"12g"},"HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"Count":-1}]}}""",
            "quota-exceeds-gpu",
            "gpu-memory=12g is more than GPU 1 (NVIDIA GeForce RTX 2080 Ti) has: 12884901888 > 11522801664 "
                + "bytes (12g > 10.7g): write gpu-memory=1 for all of it, or a smaller size"
        ),
        new(
            """{"Labels":{"gpu-memory":"12g"},"HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"DeviceIDs":["GPU-2222"]}]}}""",
            "quota-exceeds-gpu",
            "gpu-memory=12g is more than GPU 1 (NVIDIA GeForce RTX 2080 Ti) has: 12884901888 > 11522801664 "
                + "bytes (12g > 10.7g): write gpu-memory=1 for all of it, or a smaller size"
        ),
        new(
            """{"Labels":{"gpu-memory":"141g"},"HostConfig":{"Binds":["runai:/runai"],"Devices":[{"PathOnHost":"/dev/nvidia1"}]}}""",
            "quota-exceeds-gpu",
            "gpu-memory=141g is more than GPU 0 (NVIDIA H200) has: 151397597184 > 150754820096 bytes (141g > "
                + "140.4g): write gpu-memory=1 for all of it, or a smaller size"
        ),
    ];

    [TestCaseSource(nameof(Refusals))]
    public void A_refusal_names_the_object_and_the_remedy(string json, string rule, string message)
    {
        var verdict = Judge(json);
        Assert.That(verdict.Reasons, Is.EqualTo(new[] { new Reason(rule, message) }));
    }

    static readonly TestCaseData[] Allowances =
    [
        new("{}", null),
        new("""{"Labels":{"gpu-memory":"none"},"HostConfig":{"DeviceRequests":[{"Count":1}]}}""", null),
        new("""{"Labels":{"gpu-memory":""}}""", null),
        new("""{"Labels":{"gpu-memory":"none"},"HostConfig":{"Binds":["half:/runai"]}}""", "0.5"),
        new("""{"Labels":{"gpu-memory":""},"HostConfig":{"Binds":["half:/runai"]}}""", "0.5"),
        new("""{"Volumes":{"c:/runai":{}}}""", null),
        new("""{"HostConfig":{"Binds":["hafl:/runai"]}}""", null),
        new(
            """{"HostConfig":{"Binds":["hafl:/data","0.5:/half","3g:/x_runai"],"DeviceRequests":[{"Count":1}]}}""",
            null
        ),
        new("""{"HostConfig":{"Binds":["half:/opt/gpu","/data:/runai"],"DeviceRequests":[{"Count":1}]}}""", "0.5"),
        new("""{"HostConfig":{"Binds":["lab_runai:/data"],"DeviceRequests":[{"Count":1}]}}""", null),
        new(
            """{"Volumes":{"/runai":{}},"HostConfig":{"Binds":["half:/runai"],"DeviceRequests":[{"Count":1}]}}""",
            "0.5"
        ),
        new("""{"Volumes":{"/data":{},"/c":{}},"HostConfig":{"DeviceRequests":[{"Count":1}]}}""", null),
        new("""{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["runai:/runai"]}}""", "0.5"),
        new("""{"Labels":{"gpu-memory":"3GiB"},"HostConfig":{"Binds":["runai:/opt/gpu:rw"]}}""", "3GiB"),
        new("""{"HostConfig":{"Binds":["half:/runai"]}}""", "0.5"),
        new("""{"HostConfig":{"Binds":["half:/runai"],"CgroupParent":"/kubepods/burstable/pod0aa3"}}""", "0.5"),
        new("""{"Labels":{"gpu-memory":"0.25"},"HostConfig":{"Binds":["half:/runai"]}}""", "0.25"),
        new(
            """{"HostConfig":{"Binds":["half:/runai","data:/opt","/my/hosts:/etc/hosts"],"Tmpfs":{"/run":""}}}""",
            "0.5"
        ),
        new("""{"HostConfig":{"Binds":["data:/opt","half:/opt/runai"]}}""", "0.5"),
        new("""{"HostConfig":{"Mounts":[{"Type":"volume","Source":"half","Target":"/runai"}]}}""", "0.5"),
        new(
            """{"HostConfig":{"Mounts":[{"Type":"volume","Source":"mine","Target":"/runai","VolumeOptions":{"DriverConfig":{"Name":"runai/gpu-memory","Options":{"gpu-memory":"2g"}}}}]}}""",
            "2g"
        ),
        new(
            """{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["new:/runai"],"VolumeDriver":"runai/gpu-memory:latest"}}""",
            "0.5"
        ),
        new(
            """{"Env":["LD_PRELOAD=/runai/librunai.so"],"HostConfig":{"Binds":["half:/runai"],"ReadonlyRootfs":true}}""",
            "0.5"
        ),
        new(
            """{"Env":["LD_PRELOAD=/usr/lib/libjemalloc.so:/runai/librunai.so"],"HostConfig":{"Binds":["half:/runai","/my/etc:/etc"],"ReadonlyRootfs":true}}""",
            "0.5"
        ),
        new("""{"Env":["LD_PRELOAD=/usr/lib/libjemalloc.so"],"HostConfig":{"Binds":["half:/runai"]}}""", "0.5"),
        new(
            """{"HostConfig":{"Binds":["half:/runai"],"ReadonlyRootfs":true,"Mounts":[{"Type":"volume","Source":"half","Target":"/etc/ld.so.preload","ReadOnly":true,"VolumeOptions":{"Subpath":"ld.so.preload"}}]}}""",
            "0.5"
        ),
        new(
            """{"Labels":{"gpu-memory":"12g"},"HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"DeviceIDs":["0"]}]}}""",
            "12g"
        ),
        new(
            """{"Labels":{"gpu-memory":"12g"},"HostConfig":{"Binds":["runai:/runai"],"Devices":[{"PathOnHost":"/dev/nvidia0"}]}}""",
            "12g"
        ),
        new("""{"Labels":{"gpu-memory":"200g"},"HostConfig":{"Binds":["runai:/runai"]}}""", "200g"),
        new("""{"HostConfig":{"DeviceRequests":[{"Count":-1}]}}""", null),
        new("""{"HostConfig":{"DeviceRequests":[{"Count":1024}]}}""", null),
        new("""{"HostConfig":{"Privileged":true,"ReadonlyRootfs":true,"Binds":["/etc:/etc"]}}""", null),
    ];

    [TestCaseSource(nameof(Allowances))]
    public void Legal_containers_are_allowed(string json, string? quota)
    {
        var verdict = Judge(json);
        Assert.That((verdict.Message, verdict.Quota?.Text), Is.EqualTo(("", quota)));
    }

    [Test]
    public void Several_problems_are_reported_at_once() =>
        Assert.That(
            Judge("""{"Labels":{"gpu-memory":"2"},"HostConfig":{"Binds":["runai:/runai"],"ReadonlyRootfs":true}}""")
                .Reasons.Select(r => r.Rule),
            Is.EqualTo(new[] { "quota-syntax", "preload-read-only" })
        );

    [Test]
    public void Without_an_inventory_no_size_is_refused() =>
        Assert.That(
            Judge(
                """{"Labels":{"gpu-memory":"200g"},"HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"Count":1}]}}""",
                new() { Devices = [] }
            ).IsAllowed
        );

    [Test]
    public void Hostile_names_are_quoted_in_one_bounded_line()
    {
        var verdict = Judge(
            $$$"""{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["runai:/runai","/x:/runai/\u001b[31m\n{{{new string('a', 100_000)}}}"]}}"""
        );
        Assert.That(verdict.Message, Has.Length.LessThan(400));
        Assert.That(verdict.Message.Any(char.IsControl), Is.False);
    }

    [Test]
    public void The_quota_of_a_lent_volume_counts()
    {
        var other = new ContainerInspect
        {
            Mounts =
            [
                new()
                {
                    Type = "volume",
                    Name = "half",
                    Driver = "runai/gpu-memory:latest",
                    Destination = "/runai",
                },
            ],
        };
        Assert.That(CreateBody.TryRead("""{"HostConfig":{"VolumesFrom":["other:ro"]}}"""u8, out var body, out _));
        var spec = new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromCreateBody(body!, null, [other], "");
        Assert.That((spec.Quota, spec.Directory), Is.EqualTo(("0.5", new QuotaMount("half", "/runai", "0.5"))));
    }

    [Test]
    public void A_lent_volume_may_be_a_part()
    {
        var lent = new ContainerInspect
        {
            Id = "1",
            Config = new() { Labels = new Dictionary<string, string> { ["gpu-memory"] = "0.5" } },
            HostConfig = new() { VolumesFrom = ["other"], Binds = ["data:/data", "/x"] },
            Mounts =
            [
                new()
                {
                    Type = "volume",
                    Name = "runai",
                    Driver = "runai/gpu-memory:latest",
                    Destination = "/runai",
                },
            ],
        };
        Verdict Judged(ContainerInspect container) =>
            PolicyRules.Evaluate(
                new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromInspect(container, ""),
                Requester.Engine,
                [],
                PolicySettings.BuiltIn
            );
        Assert.That(
            Judged(lent).Reasons,
            Is.EqualTo(
                new[]
                {
                    new Reason(
                        "volume-borrowed",
                        "--volumes-from may bring any part of the volume to /runai: add -v runai:/runai, which takes "
                            + "its place"
                    ),
                }
            )
        );
        Assert.That(Judged(lent with { HostConfig = lent.HostConfig with { Binds = ["runai:/runai/"] } }).IsAllowed);
        Assert.That(
            Judged(
                lent with
                {
                    HostConfig = lent.HostConfig with
                    {
                        Mounts =
                        [
                            new()
                            {
                                Type = "volume",
                                Source = "runai",
                                Target = "/runai",
                            },
                        ],
                    },
                }
            ).IsAllowed
        );
    }

    [Test]
    public void The_image_counts_where_the_body_says_nothing()
    {
        var image = new ImageInspect
        {
            Config = new()
            {
                Labels = new Dictionary<string, string> { ["gpu-memory"] = "0.1" },
                Env = ["NVIDIA_VISIBLE_DEVICES=all", "PATH=/bin"],
            },
        };
        ContainerSpec Spec(string json) =>
            CreateBody.TryRead(Encoding.UTF8.GetBytes(json), out var body, out _)
                ? new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromCreateBody(body, image, [], "nvidia")
                : throw new AssertionException(json);
        Assert.That(Spec("{}").Quota, Is.EqualTo("0.1"));
        Assert.That(Spec("{}").Gpu?.Via, Is.EqualTo("NVIDIA_VISIBLE_DEVICES=all"));
        Assert.That(
            Spec("""{"Labels":{"gpu-memory":"0.2"},"Env":["NVIDIA_VISIBLE_DEVICES=void"]}"""),
            Has.Property("Quota").EqualTo("0.2").And.Property("Gpu").Null
        );
        Assert.That(Spec("""{"Env":["NVIDIA_VISIBLE_DEVICES"]}""").Gpu, Is.Null);
    }

    [TestCase("0.5", false, "")]
    [TestCase("2", false, "")]
    [TestCase("none", true, "")]
    [TestCase("", true, "")]
    [TestCase("0.5", true, "gpu-memory=0.5 needs the runai volume: add -v runai:/runai")]
    [TestCase("2", true, "gpu-memory=2 has no unit")]
    public void An_image_label_matters_only_with_a_GPU(string label, bool hasGpu, string refusal)
    {
        var labels = new Dictionary<string, string> { ["gpu-memory"] = label };
        var host = new HostConfig { DeviceRequests = hasGpu ? [new() { Count = 1 }] : null };
        var specs = new ContainerSpecMapper(new FakeVolumes(), new FakeNodes());
        var created = specs.FromCreateBody(
            new() { HostConfig = host },
            new() { Config = new() { Labels = labels } },
            [],
            "runc"
        );
        var started = specs.FromInspect(
            new()
            {
                Config = new() { Labels = labels },
                HostConfig = host,
            },
            "runc"
        );
        foreach (var spec in (ContainerSpec[])[created, started])
            Assert.That(
                PolicyRules.Evaluate(spec, Requester.Engine, [], PolicySettings.BuiltIn).Message,
                refusal == "" ? Is.Empty : Does.StartWith(refusal)
            );
    }

    [Test]
    public void Removing_an_images_label_does_not_avoid_the_policy()
    {
        var image = new ImageInspect
        {
            Config = new() { Labels = new Dictionary<string, string> { ["gpu-memory"] = "0.1" } },
        };
        foreach (var off in (string[])["none", ""])
        {
            Verdict Judged(string policy, params string[] binds) =>
                PolicyRules.Evaluate(
                    new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromCreateBody(
                        new()
                        {
                            Labels = new Dictionary<string, string> { ["gpu-memory"] = off },
                            HostConfig = new() { Binds = binds, DeviceRequests = [new() { Count = 1 }] },
                        },
                        image,
                        [],
                        "runc"
                    ),
                    new("bob", false),
                    [],
                    PolicyReader.Read(Encoding.UTF8.GetBytes(policy)).Policy!
                );
            Assert.That(
                Judged("""{"requireQuota":true}""").Message,
                Does.StartWith("a container with a GPU (--gpus) needs a quota on this machine")
            );
            Assert.That(Judged("""{"requireQuota":true}""", "half:/runai").Quota?.Text, Is.EqualTo("0.5"));
            Assert.That(
                Judged("""{"requireQuota":true,"defaultQuota":"0.2"}""", "runai:/runai").Quota?.Text,
                Is.EqualTo("0.2")
            );
            Assert.That(Judged("{}") is { IsAllowed: true, Quota: null });
        }
    }

    [Test]
    public void An_inspected_container_is_judged_by_what_the_engine_resolved()
    {
        var container = new ContainerInspect
        {
            Id = "1",
            Config = new()
            {
                Image = "debian",
                Labels = new Dictionary<string, string> { ["gpu-memory"] = "0.5" },
            },
            HostConfig = new()
            {
                Binds = ["runai:/runai"],
                Tmpfs = new Dictionary<string, string> { ["/etc"] = "" },
            },
            Mounts =
            [
                new()
                {
                    Type = "volume",
                    Name = "runai",
                    Driver = "local",
                    Destination = "/runai",
                },
            ],
        };
        var specs = new ContainerSpecMapper(new FakeVolumes(), new FakeNodes());
        var local = specs.FromInspect(container, "");
        Assert.That(local.QuotaMounts, Is.Empty, "the name is ours, the volume is not");
        Assert.That(local.OtherTargets, Is.EquivalentTo(new[] { "/runai", "/etc" }));
        var ours = specs.FromInspect(
            container with
            {
                Mounts = [container.Mounts[0] with { Driver = "runai/gpu-memory:latest" }],
            },
            ""
        );
        Assert.That(
            PolicyRules.Evaluate(ours, Requester.Engine, [], PolicySettings.BuiltIn).Reasons.Select(r => r.Rule),
            Is.EqualTo(new[] { "preload-covered" })
        );
    }

    /// <summary>A container in order by its configuration, judged by what its process has mounted.</summary>
    static Verdict Mounted(Observed mounts, string env = "", string gpu = "")
    {
        Assert.That(
            CreateBody.TryRead(
                Encoding.UTF8.GetBytes(
                    $$"""{"HostConfig":{"Binds":["runai:/runai"]{{gpu}} },"Env":["{{env}}"],"Labels":{"gpu-memory":"0.5"} }"""
                ),
                out var body,
                out _
            )
        );
        return PolicyRules.Evaluate(
            new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromCreateBody(body!, null, [], "") with
            {
                Observed = mounts,
            },
            Requester.Engine,
            [],
            PolicySettings.BuiltIn
        );
    }

    [Test]
    public void Mounts_that_the_kernel_reports_count_too()
    {
        Assert.That(Mounted(new(["/proc", "/etc/hosts", "/etc/ld.so.preload.d"], [])).IsAllowed);
        var covered = Mounted(new([], [new("/runai", "/runai/quota")])).Reasons.Single();
        Assert.That(
            (covered.Rule, covered.Message),
            Is.EqualTo(
                (
                    "volume-covered",
                    "the mount at /runai/quota covers the quota at /runai, maybe through a link in the image: "
                        + "remove it or move it"
                )
            )
        );
        Assert.That(PolicyRules.DisablesQuota(covered.Rule));
        foreach (var target in (string[])["/etc", "/etc/ld.so.preload", "/etc/ld-nix.so.preload"])
            Assert.That(
                Mounted(new([target], [])).Reasons.Select(r => r.Rule),
                Is.EqualTo(new[] { "preload-covered" }),
                target
            );
        Assert.That(Mounted(new(["/etc"], []), "LD_PRELOAD=/runai/librunai.so").IsAllowed);
    }

    [Test]
    public void A_program_without_the_shim_is_a_breach()
    {
        var seen = Observed.None with { WithoutShim = "/usr/bin/a b" };
        Assert.That(Mounted(seen).IsAllowed, "without a GPU there is nothing to limit");
        var missing = Mounted(seen, gpu: ""","DeviceRequests":[{"Count":1,"Capabilities":[["gpu"]]}]""")
            .Reasons.Single();
        Assert.That(
            (missing.Rule, missing.Message),
            Is.EqualTo(
                (
                    "preload-missing",
                    "\"/usr/bin/a b\" in it runs without the shim, so nothing limits its GPU memory: restart "
                        + "the container, "
                        + "and if that changes nothing add -e LD_PRELOAD=/runai/librunai.so, which env -i and "
                        + "sudo take away"
                )
            )
        );
        Assert.That(PolicyRules.DisablesQuota(missing.Rule), Is.False, "the policy says what follows");
    }

    [Test]
    public void A_volume_that_is_gone_is_a_breach()
    {
        var gone = Mounted(Observed.None with { Missing = "the private directory" }).Reasons.Single();
        Assert.That(
            (gone.Rule, gone.Message),
            Is.EqualTo(
                (
                    "volume-gone",
                    "the private directory of the runai volume at /runai is gone, so its quota is not kept: "
                        + "restart the container"
                )
            )
        );
        Assert.That(PolicyRules.DisablesQuota(gone.Rule), Is.False, "the policy says what follows");
        var unknown = Mounted(Observed.None with { IsUnreadable = true }).Reasons.Single();
        Assert.That(
            (unknown.Rule, unknown.Message),
            Is.EqualTo(
                (
                    "volume-gone",
                    "the mounts of its first process cannot be read, so whether the runai volume at /runai is "
                        + "still there is unknown: restart the container"
                )
            )
        );
    }

    [Test]
    public void Use_above_the_quota_names_both_figures()
    {
        var verdict = Mounted(Observed.None with { Excesses = [new(new FakeGpus().Devices[1], 6L << 30, 5761400832)] });
        Assert.That(
            (verdict.Reasons.Single().Rule, verdict.Message),
            Is.EqualTo(
                (
                    "quota-exceeded",
                    "its processes have 6442450944 bytes (6g) of GPU 1 (NVIDIA GeForce RTX 2080 Ti), more than "
                        + "gpu-memory=0.5 (5761400832 bytes, 5.3g): a program in it runs without the shim, or the "
                        + "quota is less than the driver's own share of one"
                )
            )
        );
        Assert.That(PolicyRules.DisablesQuota("quota-exceeded"), Is.False, "the policy says what follows");
    }

    [Test]
    public void A_refusal_that_lists_names_lists_five()
    {
        var spec = new ContainerSpec
        {
            Quota = "0.5",
            QuotaMounts = [.. Enumerable.Range(0, 20_000).Select(i => new QuotaMount("runai", $"/v{i}"))],
        };
        var message = PolicyRules.Evaluate(spec, Requester.Engine, [], PolicySettings.BuiltIn).Message;
        Assert.That(message, Has.Length.LessThan(400));
        Assert.That(message, Does.Contain("runai at /v4 and 19,995 more are 20000"));
    }
}
