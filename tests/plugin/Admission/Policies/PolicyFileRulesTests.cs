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

    static Verdict Judge(string policy, string body, string user = "bob", GpuHoldings? holdings = null)
    {
        var (settings, problems) = PolicyReader.Read(Encoding.UTF8.GetBytes(policy));
        Assert.That(problems, Is.Empty);
        Assert.That(CreateBody.TryRead(Encoding.UTF8.GetBytes(body), out var create, out var problem), problem);
        return PolicyRules.Evaluate(
            new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromCreateBody(create!, null, [], "runc"),
            settings!.RequesterOfRecord(user),
            new FakeGpus().Devices,
            settings,
            holdings
        );
    }

    static string Quota(string value) =>
        $$$"""{"Labels":{"gpu-memory":"{{{value}}}"},"HostConfig":{"Binds":["runai:/runai"],{{{Gpu}}}}}""";

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

    [TestCase("bob", "job holds 0.25 (34.9g), containers of others hold 69.8g")]
    [TestCase("carol", "containers of others hold 104.8g")]
    [TestCase("", "containers of others hold 104.8g")]
    [TestCase("ada", "web holds 0.5 (69.8g), job holds 0.25 (34.9g)")]
    public void A_refusal_names_no_container_of_others_with_status_own(string user, string holders) =>
        Assert.That(
            Judge(
                """{"status":"own","admins":["ada"],"localSocket":"user"}""",
                Quota("0.5"),
                user,
                Holding(new("web", "alice", "0.5", 75054448640), new("job", "bob", "0.25", 37527224320))
            ).Message,
            Does.EndWith($" left for gpu-memory=0.5 (69.8g): {holders}")
        );

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
