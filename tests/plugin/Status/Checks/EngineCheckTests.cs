// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using NUnit.Framework;
using Runai.GpuMemory.Status.Checks;
using Runai.GpuMemory.Tests.Volumes;

namespace Runai.GpuMemory.Tests.Status.Checks;

/// <summary>What is wrong with how the engine is set up.</summary>
sealed class EngineCheckTests : HostRoot
{
    const string Required = """{ "requireQuota": true }""";

    [TestCase("nvidia", "", true)]
    [TestCase("nvidia-legacy", "", true)]
    [TestCase("gpu", "/usr/bin/nvidia-container-runtime", true)]
    [TestCase("runc", "", false)]
    [TestCase("runsc", "/usr/bin/runsc", false)]
    public void A_default_runtime_of_NVIDIA_is_a_problem(string name, string program, bool isProblem)
    {
        var engine = Engine with
        {
            DefaultRuntime = name,
            Runtimes = program.Length == 0 ? [] : new Dictionary<string, string> { [name] = program },
        };
        Assert.That(
            Find(new RuntimeCheck(Policy(Required)), engine),
            isProblem ? Has.One.StartsWith("runtime : the policy requires quotas") : Is.Empty
        );
        Assert.That(new RuntimeCheck(Policy(Required)).Find(null), Is.Empty, "the engine does not answer");
        Assert.That(Find(new RuntimeCheck(Policy("{}")), engine), Is.Empty, "no quota is required");
    }

    [Test]
    public void GPU_nodes_without_links_are_a_problem_under_systemd()
    {
        Assert.That(
            Sh.Run(
                $"cd {Settings.Devices} && mknod nvidia0 c 195 0 && mknod nvidiactl c 195 255 && mkdir nvidia-caps && "
                    + "mknod null c 1 3 && touch nvidia.log"
            ),
            Is.EqualTo((0, "")),
            "device nodes can be made by root only"
        );
        var check = new DeviceLinkCheck(Settings);
        var engine = Engine with { CgroupDriver = "systemd" };
        Assert.That(Find(check), Is.Empty, "cgroupfs");
        Assert.That(Find(check, engine), Has.One.EndsWith("no link to /dev/nvidia0, /dev/nvidiactl"));
        File.CreateSymbolicLink(Path.Combine(Settings.Devices, "char/195:0"), "../nvidia0");
        Assert.That(Find(check, engine), Has.One.EndsWith("no link to /dev/nvidiactl"));
        File.CreateSymbolicLink(Path.Combine(Settings.Devices, "char/195:255"), "/dev/nvidiactl");
        Assert.That(Find(check, engine), Is.Empty);
        Directory.Delete(Settings.Devices, recursive: true);
        Assert.That(Find(check, engine), Is.Empty, "the plugin sees no /dev");
    }

    /// <summary>A process by dockerd's name, with its command line.</summary>
    Process Dockerd(string arguments)
    {
        var program = Path.Combine(Root, "dockerd");
        if (!File.Exists(program))
            File.CreateSymbolicLink(program, "/bin/sh");
        var process = Process.Start(
            new ProcessStartInfo(program, $"-c \"read x\" sh {arguments}") { RedirectStandardInput = true }
        )!;
        Write("run/docker.pid", $"{process.Id}\n");
        return process;
    }

    [TestCase("", "{}", true)]
    [TestCase("", null, true)]
    [TestCase("", """{"builder":{"Entitlements":{"device":true}}}""", true)]
    [TestCase("", """{"builder":{"Entitlements":{"device":false}}}""", false)]
    [TestCase("", """{"Builder":{"entitlements":{"Device":false,"network-host":false}}}""", false)]
    [TestCase("", "{ not JSON", false)]
    [TestCase("", "[]", true)]
    [TestCase("--config-file /etc/docker/daemon.json", "{}", true)]
    [TestCase("--config-file=/etc/docker/./daemon.json", "{}", true)]
    [TestCase("--config-file=/srv/daemon.json", "{}", false)]
    [TestCase("--config-file /etc/../srv/daemon.json", "{}", false)]
    public void Devices_for_builds_are_a_problem(string arguments, string? file, bool isProblem)
    {
        Write("etc/cdi/nvidia.yaml", "");
        if (file is not null)
            Write("etc/docker/daemon.json", file);
        using var dockerd = Dockerd(arguments);
        try
        {
            Assert.That(
                Find(new BuilderCheck(Policy(Required), Settings)),
                isProblem ? Has.One.StartsWith("buildkit : the policy requires quotas") : Is.Empty
            );
        }
        finally
        {
            dockerd.StandardInput.Close();
            dockerd.WaitForExit();
        }
    }

    [Test]
    public void Builds_are_no_problem_where_they_get_no_GPU()
    {
        var check = new BuilderCheck(Policy(Required), Settings);
        Write("run/docker.pid", "no number");
        Write("run/cdi/nvidia.yaml", "");
        Assert.That(Find(check), Is.Empty, "dockerd is not known");
        Write("run/docker.pid", $"{Environment.ProcessId}");
        Assert.That(Find(check), Is.Empty, "another process has the number");
        using var dockerd = Dockerd("");
        try
        {
            Assert.That(Find(check), Has.Length.EqualTo(1));
            Assert.That(Find(check, Engine with { Version = "28.5.2" }), Is.Empty, "an older BuildKit");
            Assert.That(Find(new BuilderCheck(Policy("{}"), Settings)), Is.Empty, "no quota is required");
            Directory.Delete(Path.Combine(Root, "run/cdi"), recursive: true);
            Assert.That(Find(new BuilderCheck(Policy(Required), Settings)), Is.Empty, "no CDI device");
        }
        finally
        {
            dockerd.StandardInput.Close();
            dockerd.WaitForExit();
        }
    }
}
