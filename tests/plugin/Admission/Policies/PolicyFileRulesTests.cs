// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Admission.Policies;

sealed class PolicyFileRulesTests
{
    const string Gpu = """ "DeviceRequests":[{"Count":1}] """;

    static Verdict Judge(
        string policy,
        string body,
        string user = "bob",
        GpuHoldings? holdings = null,
        FakeGpus? gpus = null
    )
    {
        var (settings, problems) = PolicyReader.Read(Encoding.UTF8.GetBytes(policy));
        Assert.That(problems, Is.Empty);
        Assert.That(CreateBody.TryRead(Encoding.UTF8.GetBytes(body), out var create, out var problem), problem);
        return PolicyRules.Evaluate(
            new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromCreateBody(create!, null, [], "runc"),
            settings!.RequesterOfRecord(user),
            (gpus ?? new()).Devices,
            settings,
            holdings
        );
    }

    static string Quota(string value) =>
        $$$"""{"Labels":{"gpu-memory":"{{{value}}}"},"HostConfig":{"Binds":["runai:/runai"],{{{Gpu}}}}}""";

    static readonly TestCaseData[] Cases =
    [
        new(
            """{"requireQuota":true}""",
            $$$"""{"HostConfig":{{{{Gpu}}}}}""",
            "a container with a GPU (--gpus) needs a quota on this machine: add -v runai:/runai --label gpu-memory=0.5"
        ),
        new(
            """{"requireQuota":true,"maxQuota":"0.2"}""",
            $$$"""{"HostConfig":{{{{Gpu}}}}}""",
            "a container with a GPU (--gpus) needs a quota on this machine: add -v runai:/runai --label gpu-memory=0.2"
        ),
        new(
            """{"requireQuota":true,"defaultQuota":"0.1"}""",
            $$$"""{"HostConfig":{{{{Gpu}}}}}""",
            "a container with a GPU (--gpus) needs a quota on this machine: add -v runai:/runai"
        ),
        new(
            """{"requireQuota":true,"defaultQuota":"0.1"}""",
            $$$"""{"HostConfig":{"Binds":["runai:/runai"],{{{Gpu}}}}}""",
            ""
        ),
        new("""{"requireQuota":true}""", """{"HostConfig":{"Binds":["/home:/home"]}}""", ""),
        new(
            """{"requireQuota":true,"users":{"bob":{"requireQuota":false}}}""",
            $$$"""{"HostConfig":{{{{Gpu}}}}}""",
            ""
        ),
        new("""{"requireQuota":true,"exempt":{"users":["bob"]}}""", $$$"""{"HostConfig":{{{{Gpu}}}}}""", ""),
        new(
            """{"requireQuota":true,"exempt":{"images":["monitor:*"]}}""",
            $$$"""{"Image":"monitor:1","HostConfig":{{{{Gpu}}}}}""",
            ""
        ),
        new(
            """{"requireQuota":true,"exempt":{"images":["monitor:*"]}}""",
            $$$"""{"Image":"evil/monitor:1","HostConfig":{{{{Gpu}}}}}""",
            "a container with a GPU (--gpus) needs a quota on this machine: add -v runai:/runai --label gpu-memory=0.5"
        ),
        new("""{"maxQuota":"0.5"}""", Quota("0.5"), ""),
        new(
            """{"maxQuota":"0.5"}""",
            Quota("0.51"),
            "gpu-memory=0.51 is more than you may have on one GPU, 0.5: write gpu-memory=0.5 or less"
        ),
        new("""{"maxQuota":"20g"}""", Quota("20g"), ""),
        new(
            """{"maxQuota":"20g"}""",
            Quota("20481m"),
            "gpu-memory=20481m is more than you may have on one GPU, 20g: write gpu-memory=20g or less"
        ),
        new("""{"maxQuota":"20g"}""", Quota("0.1"), ""),
        new(
            """{"maxQuota":"20g"}""",
            Quota("0.2"),
            "gpu-memory=0.2 is more than you may have on one GPU, 20g: write gpu-memory=20g or less"
        ),
        new("""{"maxQuota":"0.5"}""", Quota("60g"), ""),
        new(
            """{"maxQuota":"0.5"}""",
            Quota("71g"),
            "gpu-memory=71g is more than you may have on one GPU, 0.5: write gpu-memory=0.5 or less"
        ),
        new(
            """{"maxQuota":"0.5","users":{"bob":{"maxQuota":"0.1"}}}""",
            Quota("0.2"),
            "gpu-memory=0.2 is more than you may have on one GPU, 0.1: write gpu-memory=0.1 or less"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"Privileged":true}}""",
            "--privileged is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"CapAdd":["NET_ADMIN","CAP_SYS_ADMIN"]}}""",
            "--cap-add CAP_SYS_ADMIN is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"CapAdd":["all"]}}""",
            "--cap-add all is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"CapAdd":["\u017fYS_ADMIN"]}}""",
            "--cap-add \"ſYS_ADMIN\" is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"CapAdd":["SYS_ADM\u0131N"]}}""",
            "--cap-add \"SYS_ADMıN\" is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"CapAdd":[" SYS_ADMIN"]}}""",
            "--cap-add \" SYS_ADMIN\" is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"Annotations":{"run.oci.seccomp_bpf_data":"x"}}}""",
            "--annotation run.oci.seccomp_bpf_data is not allowed on this machine: leave it out, or ask an "
                + "admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"Annotations":{"org.opencontainers.image.title":"x","cdi.k8s.io/x":"acme.com/x=0"}}}""",
            ""
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"SecurityOpt":["seccomp=unconfined"]}}""",
            "--security-opt seccomp=unconfined is not allowed on this machine: leave it out, or ask an admin "
                + "to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"SecurityOpt":["systempaths=unconfined"]}}""",
            "--security-opt systempaths=unconfined is not allowed on this machine: leave it out, or ask an "
                + "admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"SecurityOpt":["seccomp={}"]}}""",
            "--security-opt \"seccomp={}\" is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"SecurityOpt":["seccomp:unconfined"]}}""",
            "--security-opt seccomp:unconfined is not allowed on this machine: leave it out, or ask an admin "
                + "to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"SecurityOpt":["apparmor=mine"]}}""",
            "--security-opt apparmor=mine is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"SecurityOpt":["disable"]}}""",
            "--security-opt disable is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"SecurityOpt":["label=type:spc_t"]}}""",
            "--security-opt label=type:spc_t is not allowed on this machine: leave it out, or ask an admin to "
                + "exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"SecurityOpt":["writable-cgroups=true"]}}""",
            "--security-opt writable-cgroups=true is not allowed on this machine: leave it out, or ask an "
                + "admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"ReadonlyPaths":[]}}""",
            "--security-opt systempaths=unconfined is not allowed on this machine: leave it out, or ask an "
                + "admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"MaskedPaths":[]}}""",
            "--security-opt systempaths=unconfined is not allowed on this machine: leave it out, or ask an "
                + "admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys"]}}""",
            "--security-opt systempaths=unconfined is not allowed on this machine: leave it out, or ask an "
                + "admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"Annotations":{"org.systemd.property.PIDs":"[uint32 1]"}}}""",
            "--annotation org.systemd.property.PIDs is not allowed on this machine: leave it out, or ask an "
                + "admin to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"Annotations":{"org.opencontainers.image.title":"x"}}}""",
            ""
        ),
        new("""{"allowPrivileged":false}""", """{"HostConfig":{"MaskedPaths":null,"ReadonlyPaths":null}}""", ""),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"],"MaskedPaths":["/proc/asound","/proc/acpi","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug","/proc/scsi","/sys/firmware"]}}""",
            ""
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"SecurityOpt":["no-new-privileges:true","apparmor=docker-default","seccomp=builtin","label=level:s0:c1,c2"]}}""",
            ""
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"DeviceCgroupRules":["c 10:1 rwm"]}}""",
            "--device-cgroup-rule \"c 10:1 rwm\" is not allowed on this machine: leave it out, or ask an admin "
                + "to exempt you"
        ),
        new(
            """{"allowPrivileged":false}""",
            """{"HostConfig":{"CapAdd":["NET_ADMIN"],"SecurityOpt":["no-new-privileges"]}}""",
            ""
        ),
        new(
            """{"allowHostNamespaces":false}""",
            """{"HostConfig":{"PidMode":"host"}}""",
            "--pid host is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowHostNamespaces":false}""",
            """{"HostConfig":{"UsernsMode":"host"}}""",
            "--userns host is not allowed on this machine: leave it out, or ask an admin to exempt you"
        ),
        new(
            """{"allowHostNamespaces":false}""",
            """{"HostConfig":{"PidMode":"container:x","NetworkMode":"bridge","IpcMode":"private"}}""",
            ""
        ),
        new(
            """{"allowBindMounts":[]}""",
            """{"HostConfig":{"Binds":["/home/bob:/x"]}}""",
            "a mount of the host's /home/bob is not allowed on this machine: use a volume"
        ),
        new(
            """{"allowBindMounts":["/home/*","/data"]}""",
            """{"HostConfig":{"Binds":["/home/bob/:/x","/data:/z","data:/y"]}}""",
            ""
        ),
        new(
            """{"allowBindMounts":["/home/*"]}""",
            """{"HostConfig":{"Binds":["/home/bob/link:/x"]}}""",
            "a mount of the host's /home/bob/link is not allowed on this machine: mount /home/bob as a whole, "
                + "or use a volume"
        ),
        new(
            """{"allowBindMounts":["/data"]}""",
            """{"HostConfig":{"Binds":["/*:/x"]}}""",
            "a mount of the host's /* is not allowed on this machine: mount /data as a whole, or use a volume"
        ),
        new(
            """{"allowBindMounts":["/home/*"]}""",
            """{"HostConfig":{"Binds":["/home:/x"]}}""",
            "a mount of the host's /home is not allowed on this machine: mount /home/* as a whole, or use a volume"
        ),
        new(
            """{"allowBindMounts":["/home/*"]}""",
            """{"HostConfig":{"Binds":["/:/x"]}}""",
            "a mount of the host's / is not allowed on this machine: mount /home/* as a whole, or use a volume"
        ),
        new(
            """{"allowBindMounts":["/home/*"]}""",
            """{"HostConfig":{"Binds":["/home/../run:/x"]}}""",
            "a mount of the host's /home/../run is not allowed on this machine: mount /home/* as a whole, or "
                + "use a volume"
        ),
        new(
            """{"allowBindMounts":["/home/*"]}""",
            """{"HostConfig":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"o":"bind","device":"/home/bob/link/../../ann"}}}}]}}""",
            "a mount of the host's /home/bob/link/../../ann is not allowed on this machine: mount /home/* as a "
                + "whole, or use a volume"
        ),
        new(
            """{"allowBindMounts":["/home"]}""",
            """{"HostConfig":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"tracefs","device":"/home"}}}}]}}""",
            "a local volume with type=tracefs is not allowed on this machine: use type nfs, cifs, ceph, 9p, "
                + "glusterfs, lustre or tmpfs, a file system on an allowed device, or a bind of an allowed folder"
        ),
        new(
            """{"allowBindMounts":["/*"]}""",
            """{"HostConfig":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"bpf","device":"x"}}}}]}}""",
            "a local volume with type=bpf is not allowed on this machine: use type nfs, cifs, ceph, 9p, "
                + "glusterfs, lustre or tmpfs, a file system on an allowed device, or a bind of an allowed folder"
        ),
        new(
            """{"allowBindMounts":["/home"]}""",
            """{"HostConfig":{"Binds":["/homes:/x"]}}""",
            "a mount of the host's /homes is not allowed on this machine: mount /home as a whole, or use a volume"
        ),
        new(
            """{"allowBindMounts":["/home"]}""",
            """{"HostConfig":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"o":"bind","device":"/etc"}}}}]}}""",
            "a mount of the host's /etc is not allowed on this machine: mount /home as a whole, or use a volume"
        ),
    ];

    const string Limited = """{"driverCapabilities":["compute","utility"]}""";
    const string May =
        "a container with a quota may have of the NVIDIA driver compute,utility on this machine, and not ";

    static string WithQuota(string host, string env = "") =>
        $$$"""{"Labels":{"gpu-memory":"0.5"},"Env":[{{{env}}}],"HostConfig":{"Binds":["runai:/runai"],{{{host}}}}}""";

    static readonly TestCaseData[] Capabilities =
    [
        new(WithQuota(Gpu), ""),
        new(WithQuota(Gpu, "\"NVIDIA_DRIVER_CAPABILITIES=\""), ""),
        new(WithQuota(Gpu, "\"NVIDIA_DRIVER_CAPABILITIES=utility, compute,\""), ""),
        new(
            WithQuota(Gpu, "\"NVIDIA_DRIVER_CAPABILITIES=all\""),
            May
                + "graphics,video,display,compat32,ngx, which no quota limits: add -e "
                + "NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        ),
        new(
            WithQuota(Gpu, "\"NVIDIA_DRIVER_CAPABILITIES=compute,graphics\""),
            May + "graphics, which no quota limits: add -e NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        ),
        new(
            WithQuota(Gpu, "\"NVIDIA_DRIVER_CAPABILITIES=Compute\""),
            May + "Compute, which no quota limits: add -e NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        ),
        new(
            WithQuota(Gpu, "\"CUDA_VERSION=8.0\""),
            May
                + "graphics,video,display,compat32,ngx, which no quota limits: add -e "
                + "NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        ),
        new(WithQuota(Gpu, "\"CUDA_VERSION=8.0\",\"NVIDIA_DRIVER_CAPABILITIES=\""), ""),
        new(
            WithQuota(
                """ "DeviceRequests":[{"Count":1,"Capabilities":[["gpu","compute"]]}] """,
                "\"NVIDIA_DRIVER_CAPABILITIES=all\""
            ),
            ""
        ),
        new(
            WithQuota(
                """ "DeviceRequests":[{"Count":1,"Capabilities":[["gpu"]]}] """,
                "\"NVIDIA_DRIVER_CAPABILITIES=graphics\""
            ),
            May + "graphics, which no quota limits: add -e NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        ),
        new(
            WithQuota(""" "DeviceRequests":[{"Count":1,"Capabilities":[["gpu","graphics"]]}] """),
            May + "graphics, which no quota limits: write --gpus 'all,\"capabilities=compute,utility\"'"
        ),
        new(
            WithQuota(""" "DeviceRequests":[{"Count":1,"Capabilities":[["compute"],["video"]]}] """),
            May + "video, which no quota limits: write --gpus 'all,\"capabilities=compute,utility\"'"
        ),
        new(
            WithQuota(""" "DeviceRequests":[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=0"]}] """),
            May
                + "graphics,video,display,compat32,ngx, which no quota limits: CDI device nvidia.com/gpu=0 "
                + "brings all of it, so ask for the GPU by --gpus"
        ),
        new(
            WithQuota(""" "Devices":[{"PathOnHost":"/dev/nvidia0"}] """),
            May
                + "graphics,video,display,compat32,ngx, which no quota limits: device /dev/nvidia0 brings all of "
                + "it, so ask for the GPU by --gpus"
        ),
        new($$$"""{"Env":["NVIDIA_DRIVER_CAPABILITIES=all"],"HostConfig":{{{{Gpu}}}}}""", ""),
        new(
            """{"Labels":{"gpu-memory":"0.5"},"Env":["NVIDIA_DRIVER_CAPABILITIES=all"],"HostConfig":{"Binds":["runai:/runai"]}}""",
            ""
        ),
    ];

    [TestCaseSource(nameof(Capabilities))]
    public void Driver_capabilities_beyond_the_file_are_refused(string body, string message) =>
        Assert.That(Judge(Limited, body).Message, Is.EqualTo(message));

    [Test]
    public void An_engines_default_cgroup_namespace_is_allowed()
    {
        var (settings, _) = PolicyReader.Read("""{"allowHostNamespaces":false}"""u8);
        var container = new ContainerInspect
        {
            HostConfig = new()
            {
                CgroupnsMode = "host",
                IpcMode = "private",
                NetworkMode = "bridge",
            },
        };
        Assert.That(
            PolicyRules
                .Evaluate(
                    new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromInspect(container, "runc"),
                    new("bob", false),
                    [],
                    settings!
                )
                .IsAllowed
        );
    }

    [TestCaseSource(nameof(Cases))]
    public void The_rules_of_the_file_name_a_remedy(string policy, string body, string message) =>
        Assert.That(Judge(policy, body).Message, Is.EqualTo(message));

    [Test]
    public void The_default_quota_needs_the_volume()
    {
        const string Policy = """{"defaultQuota":"0.1"}""";
        Assert.That(Judge(Policy, """{"HostConfig":{"Binds":["runai:/runai"]}}""").Quota?.Text, Is.EqualTo("0.1"));
        Assert.That(Judge(Policy, """{"HostConfig":{"Binds":["half:/runai"]}}""").Quota?.Text, Is.EqualTo("0.5"));
        Assert.That(Judge(Policy, $$$"""{"HostConfig":{{{{Gpu}}}}}""").Quota, Is.Null);
    }

    [Test]
    public void In_audit_mode_the_file_refuses_nothing()
    {
        var verdict = Judge(
            """{"mode":"audit","maxQuota":"0.1","allowPrivileged":false}""",
            """{"Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["runai:/runai"],"Privileged":true}}"""
        );
        Assert.That(verdict.IsAllowed);
        Assert.That(verdict.Audited.Select(r => r.Rule), Is.EqualTo(new[] { "max-quota", "privileged" }));
        Assert.That(
            Judge(
                """{"mode":"audit"}""",
                """{"Labels":{"gpu-memory":"2"},"HostConfig":{"Binds":["runai:/runai"]}}"""
            ).IsAllowed,
            Is.False,
            "what holds without a file holds"
        );
    }

    [Test]
    public void Without_an_inventory_units_cannot_be_compared() =>
        Assert.That(
            Judge("""{"maxQuota":"0.5"}""", Quota("1g"), gpus: new() { Devices = [] }).Message,
            Is.EqualTo(
                "gpu-memory=1g cannot be compared with your limit of 0.5, for the GPUs' sizes are not known: "
                    + "write a fraction of at most 0.5"
            )
        );

    static GpuHoldings Holding(params Holding[] holdings) =>
        new(new Dictionary<string, IReadOnlyList<Holding>> { ["GPU-11111111-0000"] = holdings });

    [Test]
    public void The_sum_of_quotas_stays_within_the_GPU()
    {
        // 150754820096 - 645922816 bytes can be allocated
        var half = new Holding("web", "alice", "0.5", 75054448640);
        Assert.That(Judge("{}", Quota("0.5"), holdings: Holding(half)).IsAllowed);
        Assert.That(
            Judge("{}", Quota("0.51"), holdings: Holding(half)).Message,
            Is.EqualTo("GPU 0 (NVIDIA H200) has 69.8g left for gpu-memory=0.51 (71.2g): web holds 0.5 (69.8g)")
        );
        Assert.That(
            Judge("{}", Quota("0.5"), holdings: Holding(half, half with { Bytes = 1 })).Message,
            Does.StartWith("GPU 0 (NVIDIA H200) has 69.8g left for gpu-memory=0.5 (69.8g): web holds 0.5")
        );
        Assert.That(Judge("""{"overcommit":1.5}""", Quota("1"), holdings: Holding(half)).IsAllowed);
        Assert.That(
            Judge("""{"overcommit":0.5}""", Quota("0.51"), holdings: GpuHoldings.None).Message,
            Is.EqualTo(
                "gpu-memory=0.51 (76555537612 bytes) is more than all that GPU 0 (NVIDIA H200) has for quotas, "
                    + "75054448640 bytes (69.8g): write gpu-memory=69.8g or less"
            )
        );
        Assert.That(
            Judge("{}", Quota("150754820096b"), holdings: GpuHoldings.None).Message,
            Does.StartWith(
                "gpu-memory=150754820096b (150754820096 bytes) is more than all that GPU 0 (NVIDIA H200) has "
                    + "for quotas, 150108897280 bytes"
            )
        );
        Assert.That(
            Judge(
                "{}",
                """{"Labels":{"gpu-memory":"1"},"HostConfig":{"Binds":["runai:/runai"]}}""",
                holdings: Holding(half)
            ).IsAllowed,
            "it has no GPU"
        );
    }

    [TestCase("0.1", "0.2", "gpu-memory=0.5 is more than you may have on one GPU, 0.1: write gpu-memory=0.1 or less")]
    [TestCase("0.2", "0.2", "gpu-memory=0.5 is more than you may have on one GPU, 0.2: write gpu-memory=0.2 or less")]
    [TestCase(
        "0.4",
        "0.2",
        "gpu-memory=0.5 (69.8g) is more than all that you may have on GPU 0 (NVIDIA H200), 0.2 (27.9g): write "
            + "gpu-memory=0.2 or less"
    )]
    [TestCase(
        "1",
        "0.2",
        "gpu-memory=0.5 (69.8g) is more than all that you may have on GPU 0 (NVIDIA H200), 0.2 (27.9g): write "
            + "gpu-memory=0.2 or less"
    )]
    [TestCase("10g", "0.2", "gpu-memory=0.5 is more than you may have on one GPU, 10g: write gpu-memory=10g or less")]
    [TestCase("0.6", "0.5", "")]
    public void Of_two_limits_the_smaller_is_the_remedy(string max, string total, string message) =>
        Assert.That(
            Judge(
                $$$"""{"maxQuota":"{{{max}}}","totalQuota":"{{{total}}}"}""",
                Quota("0.5"),
                holdings: GpuHoldings.None
            ).Message,
            Is.EqualTo(message)
        );

    [TestCase("/home/bob/a/b", "/home/bob")]
    [TestCase("/srv/data/../x", "/home/* or /srv/data")]
    [TestCase("/home/*/x", "/home/* or /srv/data")]
    [TestCase("/etc/x", "/home/* or /srv/data")]
    public void A_refused_bind_names_the_folder_to_mount(string path, string instead) =>
        Assert.That(
            Judge(
                """{"allowBindMounts":["/home/*","/srv/data"]}""",
                $$$"""{"HostConfig":{"Binds":["{{{path}}}:/x"]}}"""
            ).Message,
            Is.EqualTo(
                $"a mount of the host's {path} is not allowed on this machine: mount {instead} as a whole, or "
                    + "use a volume"
            )
        );

    /// <summary>All of <c>man 7 capabilities</c> (Linux 5.9 and later), and one that no kernel has yet.</summary>
    [TestCase(
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP "
            + "SETUID SYS_CHROOT IPC_LOCK IPC_OWNER NET_ADMIN NET_BROADCAST SYS_NICE",
        true
    )]
    [TestCase(
        "AUDIT_CONTROL AUDIT_READ BLOCK_SUSPEND BPF CHECKPOINT_RESTORE DAC_READ_SEARCH LEASE LINUX_IMMUTABLE "
            + "MAC_ADMIN MAC_OVERRIDE MKNOD PERFMON SYS_ADMIN SYS_BOOT SYS_MODULE SYS_PACCT SYS_PTRACE SYS_RAWIO "
            + "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM ALL NEXT",
        false
    )]
    public void Capabilities_that_lead_beyond_the_container_are_privileges(string names, bool isPlain)
    {
        foreach (var name in names.Split(' '))
        foreach (
            var spelling in (string[])[name, "CAP_" + name, name.ToLowerInvariant(), "Cap_" + name.ToLowerInvariant()]
        )
            Assert.That(
                Judge("""{"allowPrivileged":false}""", $$$"""{"HostConfig":{"CapAdd":["{{{spelling}}}"]}}""").IsAllowed,
                Is.EqualTo(isPlain),
                spelling
            );
    }

    [Test]
    public void NET_ADMIN_is_a_privilege_on_the_hosts_network()
    {
        const string Body = """{"HostConfig":{"CapAdd":["net_admin"],"NetworkMode":"host"}}""";
        Assert.That(
            Judge("""{"allowPrivileged":false}""", Body).Message,
            Does.StartWith("--cap-add net_admin is not allowed on this machine")
        );
        Assert.That(Judge("""{"allowHostNamespaces":true}""", Body).IsAllowed);
    }

    [Test]
    public void A_users_quotas_stay_within_the_total()
    {
        const string Policy = """{"users":{"bob":{"totalQuota":"0.5"}}}""";
        var alice = new Holding("web", "alice", "0.25", 37527224320);
        Assert.That(
            Judge(Policy, Quota("0.6"), holdings: GpuHoldings.None).Message,
            Is.EqualTo(
                "gpu-memory=0.6 (83.8g) is more than all that you may have on GPU 0 (NVIDIA H200), 0.5 "
                    + "(69.8g): write gpu-memory=0.5 or less"
            )
        );
        Assert.That(Judge(Policy, Quota("0.5"), holdings: Holding(alice)).IsAllowed);
        Assert.That(
            Judge(Policy, Quota("0.3"), holdings: Holding(alice, alice with { User = "bob" })).Message,
            Is.EqualTo(
                "gpu-memory=0.3 (41.9g) is more than is left of your 0.5 (69.8g) on GPU 0 (NVIDIA H200): web "
                    + "holds 0.25 (34.9g)"
            )
        );
        Assert.That(Judge(Policy, Quota("0.25"), holdings: Holding(alice, alice with { User = "bob" })).IsAllowed);
    }
}
