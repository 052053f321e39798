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
    static Verdict Judge(string json)
    {
        Assert.That(CreateBody.TryRead(Encoding.UTF8.GetBytes(json), out var body, out var problem), problem);
        return PolicyRules.Evaluate(
            new ContainerSpecMapper(new FakeVolumes(), new FakeNodes()).FromCreateBody(body!, null, [], "runc"),
            Requester.Engine,
            new FakeGpus().Devices,
            PolicySettings.BuiltIn
        );
    }

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
