// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Tests.Status.Checks;

/// <summary>NVIDIA's container toolkit below a folder that stands for the host's /usr.</summary>
sealed class ToolkitCheckTests : HostRoot
{
    const string Flag = " -X github.com/NVIDIA/nvidia-container-toolkit/internal/info.version=";

    [TestCase(
        "1.16.1",
        "NVIDIA's container toolkit 1.16.1 lets an image take over the host (CVE-2024-0132, CVE-2025-23266)"
    )]
    [TestCase("1.17.7", "NVIDIA's container toolkit 1.17.7 lets an image take over the host (CVE-2025-23266)")]
    [TestCase("1.16.2-rc.1", "NVIDIA's container toolkit 1.16.2 lets an image take over the host (CVE-2025-23266)")]
    [TestCase(
        "1.9.0",
        "NVIDIA's container toolkit 1.9.0 lets an image take over the host (CVE-2024-0132, CVE-2025-23266)"
    )]
    [TestCase("1.17.8", null)]
    [TestCase("1.20.0", null)]
    public void An_old_toolkit_is_known_by_its_program(string version, string? message)
    {
        Write("usr/bin/nvidia-container-runtime-hook", "-ldflags=\"-s -w" + Flag + version + "\"\n");
        Write("usr/lib/x86_64-linux-gnu/libnvidia-container.so.1.0.0", "");
        Assert.That(
            Find(new ToolkitCheck(Settings)),
            message is null ? Is.Empty : Is.EqualTo(new[] { $"toolkit : {message}" })
        );
    }

    /// <summary>Programs are read a MiB at a time.</summary>
    [Test]
    public void The_version_is_found_wherever_it_is()
    {
        for (var at = (1 << 20) - 100; at < (1 << 20) + 20; at++)
        {
            Write("usr/bin/nvidia-ctk", new string('x', at) + Flag + "1.17.7\n");
            Assert.That(Find(new ToolkitCheck(Settings)), Has.Length.EqualTo(1), $"{at}");
        }
        Write("usr/bin/nvidia-ctk", new string('x', 64 << 20) + Flag + "1.17.7\n");
        Assert.That(Find(new ToolkitCheck(Settings)), Is.Empty, "of a huge file nothing is read");
    }

    [TestCase("libnvidia-container.so.1.17.7", true)]
    [TestCase("libnvidia-container.so.1.17.8", false)]
    [TestCase("libnvidia-container.so.1", false)]
    [TestCase("libnvidia-container.so.new", false)]
    public void An_old_toolkit_is_known_by_its_library(string file, bool isProblem)
    {
        Write("usr/bin/nvidia-ctk", "built without its version");
        Write($"usr/lib64/{file}", "");
        Assert.That(Find(new ToolkitCheck(Settings)), Has.Length.EqualTo(isProblem ? 1 : 0));
    }

    [Test]
    public void An_upgrade_of_the_toolkit_is_seen()
    {
        var check = new ToolkitCheck(Settings);
        Write("usr/bin/nvidia-ctk", Flag + "1.17.7 ");
        Assert.That(Find(check), Has.Length.EqualTo(1));
        Assert.That(Find(check), Has.Length.EqualTo(1));
        Write("usr/bin/nvidia-ctk", Flag + "1.18.0-rc.1");
        Assert.That(Find(check), Is.Empty);
    }

    [TestCase("")]
    [TestCase("1.x")]
    [TestCase("99999999999.1.1")]
    public void A_version_that_cannot_be_read_is_no_problem(string version)
    {
        Write("usr/bin/nvidia-ctk", Flag + version);
        Assert.That(Find(new ToolkitCheck(Settings)), Is.Empty);
        Directory.Delete(Settings.Driver, recursive: true);
        Assert.That(Find(new ToolkitCheck(Settings)), Is.Empty, "the plugin sees no /usr");
    }

    [TestCase("swarm-resource = \"MY_GPUS\"", "MY_GPUS")]
    [TestCase("x = 1\n \"swarm-resource\"='DOCKER_RESOURCE_GPU,MINE' # ours", "MINE")]
    [TestCase("swarm-resource = \"DOCKER_RESOURCE_GPU\"", null)]
    [TestCase("#swarm-resource = \"MY_GPUS\"", null)]
    [TestCase("[other]\nswarm-resource = \"MY_GPUS\"", null)]
    [TestCase("swarm-resource = MY_GPUS", null)]
    [TestCase("swarm-resource = \"\"", null)]
    [TestCase("swarm-resource = \"", null)]
    public void A_variable_that_the_plugin_does_not_know(string file, string? variable)
    {
        Write("etc/nvidia-container-runtime/config.toml", file);
        Assert.That(
            Find(new ToolkitCheck(Settings)),
            variable is null ? Is.Empty : Has.One.StartsWith($"toolkit : the variable {variable} gives")
        );
    }
}
