// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>What only shows after minutes, or after thousands of calls: <c>make test-long</c>. <c>make test</c> has the
/// short form of each.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
[Category("Long")]
sealed class LongTests(string version) : PolicyFixture(version)
{
    const string SlowLog = "slowlog";

    protected override string PolicyFile => """{ "requireQuota": true, "maxVolumes": 10000 }""";

    [Test]
    public async Task A_slow_start_does_not_let_three_halves_run()
    {
        using var released = new ManualResetEventSlim();
        using var driver = new SecondPlugin(
            Engine.PluginSockets,
            path =>
            {
                if (path == "/LogDriver.StartLogging")
                    released.Wait();
            },
            SlowLog,
            "LogDriver"
        );
        CreateLegal("first", "0.5", "--log-driver", SlowLog);
        CreateLegal("second");
        CreateLegal("third");
        var first = Task.Run(() => Engine.Docker("start", "first"));
        await Task.Delay(TimeSpan.FromSeconds(1));
        Engine.Docker("start", "second").Ok();
        await Task.Delay(TimeSpan.FromSeconds(130)); // two looks more than a minute
        Assert.That(Engine.Docker("start", "third").Error, Does.Contain("first holds 0.5"));
        Assert.That(Engine.Log, Does.Contain("name=first is under way for more than a minute"));
        released.Set();
        Assert.That((await first).Code, Is.Zero);
        Assert.That(Engine.Smi("first").Total, Is.EqualTo(Part(0.5m)));
    }

    /// <summary>Another plugin thinks about the first start for minutes: the engine is not at it, and what it was
    /// promised is given away.</summary>
    [Test]
    public async Task A_late_start_is_judged_again()
    {
        using var released = new ManualResetEventSlim();
        using (
            new SecondPlugin(
                Engine.PluginSockets,
                call =>
                {
                    if (call.EndsWith("/containers/first/start", StringComparison.Ordinal))
                        released.Wait();
                }
            )
        )
        {
            foreach (var name in (string[])["first", "second", "third"])
                CreateLegal(name);
            Engine.Authorize(SecondPlugin.Name);
            try
            {
                var first = Task.Run(() => Engine.Docker("start", "first"));
                await Task.Delay(TimeSpan.FromSeconds(1));
                Engine.Docker("start", "second").Ok();
                Eventually(
                    () => Engine.Docker("start", "third").Code == 0,
                    "what the first was promised is given back",
                    seconds: 130
                );
                released.Set();
                await first;
            }
            finally
            {
                released.Set();
                Engine.Authorize();
            }
        }

        Eventually(() => !Engine.Runs("first"), "it does not stay");
        Assert.That(Engine.Log, Does.Contain("rules=capacity,unjudged-start"));
    }

    [Test]
    public void Thousands_of_long_refusals_stop_nothing()
    {
        var refused = Body.Gpu.Quota(new string('9', 100_000)).Bytes;
        Enumerable
            .Range(0, 4000)
            .AsParallel()
            .WithDegreeOfParallelism(16)
            .ForAll(_ => Assert.That(Attempt.IsRefusal(Engine.Raw("POST", "/containers/create", refused))));
        Engine.Run("--rm", "--name", "after", "-v", "runai:/runai", "--label", "gpu-memory=0.5", Image, "true").Ok();
        Eventually(
            () =>
                Engine
                    .Log.Split('\n')
                    .Any(line =>
                        line.Contains("gpu-memory info 600: allowed ContainerStart", StringComparison.Ordinal)
                    ),
            "the log goes on"
        );
    }

    [Test]
    public void The_plugin_starts_with_300000_old_volumes()
    {
        var folder = Engine.StateFolder("volumes");
        for (var i = 0; i < 355_000; i++)
            File.WriteAllText(
                Path.Combine(folder, $"flood-{i}.json"),
                $$"""{"Name":"flood-{{i}}","GpuMemory":"0.5"}"""
            );
        Engine.KillPlugin();
        Eventually(
            () => Engine.Log.Contains("there are more than 10000 volumes in", StringComparison.Ordinal),
            "it says so"
        );
        Engine.Run("--rm", "-v", "flood-354999:/runai", Image, "true").Ok();
        Assert.That(Engine.Docker("volume", "ls", "-q").Ok().Split('\n'), Has.Length.LessThan(11_000));
        Engine.Docker("volume", "rm", "flood-354999").Ok();
        Assert.That(File.Exists(Path.Combine(folder, "flood-354999.json")), Is.False);
        Assert.That(
            Engine.Docker("volume", "create", "-d", Plugin, "one-more").Error,
            Does.Contain("there are more than 10000 volumes with a quota")
        );
    }
}
