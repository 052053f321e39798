// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Status.Checks;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Status.Checks;

/// <summary>What is wrong with single containers.</summary>
sealed class ContainerCheckTests : HostRoot
{
    RunningContainers _running = null!;

    [SetUp]
    public void Forget() => _running = new();

    void Run(
        string name,
        string? quota,
        string runtime = "runc",
        string? unreached = null,
        params string[] directories
    ) =>
        _running.Set(
            new()
            {
                Id = name.PadLeft(64, '0'),
                Name = "/" + name,
                State = new() { Running = true, Pid = 10 },
                HostConfig = new() { Runtime = runtime },
            },
            new(),
            Parsed.Quota(quota),
            directories,
            unreached
        );

    [TestCase("runsc", true)]
    [TestCase("kata", true)]
    [TestCase("io.containerd.kata.v2", true)]
    [TestCase("safe", true)]
    [TestCase("runc", false)]
    [TestCase("nvidia", false)]
    public void A_quota_in_a_sandbox_is_a_problem(string runtime, bool isProblem)
    {
        Run("job", "0.5", runtime);
        Run("plain", null, runtime);
        var engine = Engine with { Runtimes = new Dictionary<string, string> { ["safe"] = "/usr/local/bin/runsc" } };
        Assert.That(
            Find(new SandboxCheck(_running), engine),
            isProblem ? Has.One.StartsWith($"sandbox job: its runtime {runtime} is a sandbox") : Is.Empty
        );
    }

    [Test]
    public void A_quota_for_static_programs_is_a_problem()
    {
        Run("job", "0.5", unreached: "/bin/a\nb");
        Run("plain", null, unreached: "/bin/a");
        Run("fine", "0.5");
        Assert.That(
            Find(new ProgramCheck(_running)),
            Is.EqualTo(
                new[]
                {
                    "static job: its program \"/bin/a\\u000ab\" is static or of musl, so nothing limits its GPU memory",
                }
            )
        );
        _running.Saw("job".PadLeft(64, '0'), 11, null);
        Assert.That(Find(new ProgramCheck(_running)), Has.Length.EqualTo(1), "that was another run's process");
        _running.Saw("job".PadLeft(64, '0'), 10, null);
        Assert.That(Find(new ProgramCheck(_running)), Is.Empty);
    }

    [Test]
    public void A_shim_of_another_version_is_a_problem()
    {
        var layout = new StateLayout(Settings);
        var shims = new ShimStore(layout);
        var check = new ShimCheck(_running, shims, layout);
        Assert.That(Find(check), Is.Empty, "the plugin has none");
        void Put(string dirId, string shim) => Write($"state/state/{dirId}/librunai.so", shim);
        Write("librunai.so", "the new one");
        Put("a", "the new one");
        Put("b", "the old one");
        Run("new", "0.5", directories: "a");
        Run("old", "0.5", directories: ["a", "b"]);
        Run("gone", "0.5", directories: "c");
        Assert.That(Find(check), Is.EqualTo(new[] { "shim old: it has the shim of another version of the plugin" }));
        layout.Prepare();
        shims.Current();
        Assert.That(Find(check), Has.Length.EqualTo(1), "after the first container too");
    }
}
