// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Tests.Status.Checks;

/// <summary>A folder that stands for what the plugin sees of a host.</summary>
abstract class HostRoot
{
    private protected string Root = null!;
    private protected PluginSettings Settings = null!;

    /// <summary>An engine as most are.</summary>
    private protected static EngineInfo Engine { get; } =
        new()
        {
            DefaultRuntime = "runc",
            CgroupDriver = "cgroupfs",
            Version = "29.1.0",
        };

    [SetUp]
    public void MakeRoot()
    {
        Root = Directory.CreateTempSubdirectory("host").FullName;
        foreach (var folder in (string[])["etc/docker", "usr/bin", "run", "dev/char", "state"])
            Directory.CreateDirectory(Path.Combine(Root, folder));
        Settings = new()
        {
            Etc = Path.Combine(Root, "etc"),
            Driver = Path.Combine(Root, "usr"),
            Run = Path.Combine(Root, "run"),
            Devices = Path.Combine(Root, "dev"),
            State = Path.Combine(Root, "state"),
            Shim = Path.Combine(Root, "librunai.so"),
            Policy = Path.Combine(Root, "etc/docker/gpu-memory.json"),
        };
    }

    [TearDown]
    public void RemoveRoot() => Directory.Delete(Root, recursive: true);

    private protected void Write(string name, string text)
    {
        var path = Path.Combine(Root, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }

    /// <summary>The policy file with this text; null: without one.</summary>
    private protected PolicySource Policy(string? text)
    {
        if (text is not null)
            File.WriteAllText(Settings.Policy, text);
        return new(Settings.Policy, Settings.Policy + ".good", NullLogger<PolicySource>.Instance);
    }

    /// <summary>What the check finds, as <c>check container: message</c>.</summary>
    private protected static string[] Find(ICheck check, EngineInfo? engine = null) =>
        [
            .. check
                .Find(engine ?? Engine)
                .Select(problem =>
                {
                    Assert.That(problem.Remedy, Is.Not.Empty);
                    return $"{problem.Check} {problem.Container}: {problem.Message}";
                }),
        ];
}
