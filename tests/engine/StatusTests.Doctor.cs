// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>What docker runai doctor finds on these engines.</summary>
sealed partial class StatusTests
{
    /// <summary>This engine drops bodies of 1 MiB and more.</summary>
    bool DropsBodies => Engine.Version == Engines.Oldest;

    [Test]
    public void The_doctor_finds_what_is_wrong_and_nothing_else()
    {
        Engine.InstallCliPlugin("docker-runai", Repository.Wrapper);
        var healthy = Examine(Engine);
        string[] known = DropsBodies ? ["bodies"] : [];
        Assert.That(healthy.Problems, Is.EqualTo(known), healthy.All);
        Assert.That(healthy.Code, Is.EqualTo(DropsBodies ? 1 : 0), healthy.All);
        string[] passed = ["authorization", "engine", "plugin", "programs", "runtime", "status", "versions"];
        Assert.That(healthy.Passed, Is.SupersetOf(passed), healthy.All);
        Assert.That(healthy.Passed.Contains("bodies"), Is.Not.EqualTo(DropsBodies), healthy.All);
        Assert.That(Engine.Docker("volume", "ls", "-q").Ok().Split('\n'), Does.Not.Contain("runai-status"));

        Engine.AskNobody();
        var unasked = Examine(Engine);
        Assert.That(unasked.Code, Is.EqualTo(1));
        Assert.That(unasked.Problems, Is.EqualTo(["chain"]), unasked.All);
        Engine.Docker("plugin", "disable", "-f", Plugin).Ok();
        var disabled = Examine(Engine);
        Assert.That(disabled.Code, Is.EqualTo(2));
        Assert.That(disabled.Problems, Is.EqualTo(["plugin", "authorization"]), disabled.All);
        Assert.That(disabled.All, Does.Contain($"docker plugin enable {Plugin}").And.Contain("\"no answer\""));
        Engine.Docker("plugin", "enable", Plugin).Ok();
        Engine.Authorize();
        Assert.That(Examine(Engine).Problems, Is.EqualTo(known));
    }

    /// <summary>Names of checks, in the order in which they are printed.</summary>
    public static (int Code, string[] Problems, string[] Passed, string All) Examine(TestEngine engine)
    {
        var output = engine.Docker("runai", "doctor", "--format", "json");
        var rows = output
            .Out.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => JsonDocument.Parse(line).RootElement)
            .Select(row => (Check: row.GetProperty("Check").GetString()!, State: row.GetProperty("State").GetString()))
            .ToArray();
        string[] In(string state) => [.. rows.Where(row => row.State == state).Select(row => row.Check)];
        return (output.Code, In("problem"), In("ok"), output.All);
    }
}
