// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.EngineTests.Policy;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>An engine that does not ask the plugin about API calls: one that was never told to, and one that dropped
/// the plugin when it was disabled.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class UnaskedTests(string version) : EngineFixture(version)
{
    const string Mend =
        $"see that /etc/docker/daemon.json has \"authorization-plugins\": [\"{Plugin}\"], then let the engine "
        + "read it: systemctl reload docker, or kill -HUP $(cat /run/docker.pid)";
    static readonly string[] Quota = ["-v", "runai:/runai", "--label", "gpu-memory=0.3", Image];

    protected override TestEngine Create(string version) => new(version, authorize: false);

    [SetUp]
    public void DoNotAsk() => Engine.AskNobody();

    static void IsRefused(Output output)
    {
        Assert.That(output.Code, Is.Not.Zero, output.All);
        Assert.That(
            output.Error,
            Does.Contain($"the engine does not ask the plugin {Plugin} about containers, so no limit would hold")
                .And.Contain(Mend)
        );
        Assert.That(output.Out, Does.Not.Contain("MiB"));
    }

    /// <summary>As an upgrade and a change of settings need it. Returns how many error lines about it the log had
    /// before.</summary>
    int DisableAndEnable()
    {
        var before = ErrorLines();
        Engine.Docker("plugin", "disable", "-f", Plugin).Ok();
        Engine.Docker("plugin", "enable", Plugin).Ok();
        return before;
    }

    int ErrorLines() => Engine.Log.Split(" error 220: not asked: ").Length - 1;

    bool Runs(string container) => Engine.Runs(container);

    [Test]
    public void Without_authorization_no_container_with_the_volume_starts()
    {
        IsRefused(Engine.Run(["--rm", .. Quota, .. SmiQuery]));
        IsRefused(Engine.Run(["--rm", "-e", "LD_PRELOAD=/runai/librunai.so", .. Quota, .. SmiQuery]));
        var container = Engine.Docker(["create", "--network", "none", "--gpus", "1", .. Quota, .. SmiQuery]).Ok();
        IsRefused(Engine.Docker("start", "-a", container));
        Assert.That(
            Engine.Run(["--rm", Image, .. SmiQuery]).Ok(),
            Does.StartWith($"{TotalMiB},"),
            "who has no volume of ours is left alone"
        );

        Engine.Authorize();
        Assert.That(
            Engine.Docker("start", "-a", container).Ok(),
            Does.StartWith("3296,"),
            "what was made meanwhile starts once the engine asks"
        );
    }

    [Test]
    public void No_container_starts_after_disable_and_enable()
    {
        Engine.Authorize();
        var running = Engine.Start([.. Quota, "sleep", "600"]);
        var before = DisableAndEnable();
        Eventually(() => ErrorLines() > before, "the plugin notices by itself");
        IsRefused(Engine.Run(["--rm", .. Quota, .. SmiQuery]));
        Engine.Docker("cp", Path.Combine(Repository.Root, "README.md"), $"{running}:/tmp/").Ok();
        Assert.That(Engine.Smi(running).Total, Is.EqualTo(3296), "what runs keeps its quota");
        for (var n = 0; n < 3; n++)
            IsRefused(Engine.Docker("restart", "-t", "0", running));
        Assert.That(Runs(running), Is.False);
        Assert.That(ErrorLines(), Is.EqualTo(before + 1), "one line, however often it is tried");

        Engine.Authorize();
        Engine.Docker("start", running).Ok();
        Assert.That(Engine.Smi(running).Total, Is.EqualTo(3296));
        Assert.That(Engine.Log.Split(" error 220: ")[^1], Does.Contain(" info 221: the engine asks this plugin"));
    }

    /// <summary>An answer is an answer, whoever gives it: an engine that boots gives none.</summary>
    [Test]
    public void Another_plugin_that_refuses_our_calls_opens_nothing()
    {
        var denied = "GET /_ping?";
        using var other = new SecondPlugin(
            Engine.PluginSockets,
            _ => { },
            denies: call => denied.Split('|').Any(start => call.StartsWith(start, StringComparison.Ordinal))
        );
        Engine.Ask(SecondPlugin.Name, Plugin);
        Assert.That(Engine.Run(["--rm", .. Quota, .. SmiQuery]).Ok(), Does.StartWith("3296,"));
        Engine.Ask(SecondPlugin.Name);
        IsRefused(Engine.Run(["--rm", .. Quota, .. SmiQuery]));
        denied = "GET /_ping?|GET /containers/";
        var output = Engine.Run(["--rm", .. Quota, .. SmiQuery]);
        Assert.That(
            output.Error,
            Does.Contain("another authorization plugin refuses, or fails at, this plugin's calls to the engine")
                .And.Contain("name this plugin first")
        );
        Assert.That(output.Out, Does.Not.Contain("MiB"));
        Engine.AskNobody();
    }

    /// <summary>An engine that reads such a name ends.</summary>
    [Test]
    public void The_check_in_the_docs_finds_a_disabled_plugin()
    {
        var check = File.ReadLines(Path.Combine(Repository.Root, "docs/operate.md"))
            .Single(line =>
                line.StartsWith("    docker plugin inspect -f ", StringComparison.Ordinal)
                && line.Contains("daemon.json", StringComparison.Ordinal)
            );
        Output Check(string names)
        {
            File.WriteAllText(
                Engine.Configuration,
                $$"""{ "debug": false,{{'\n'}}  "authorization-plugins":{{'\n'}}  [ {{names}} ], "labels": ["a=b"] }"""
            );
            return Engine.Command(
                "sh",
                "-c",
                check.Replace("/etc/docker/daemon.json", Engine.Configuration, StringComparison.Ordinal)
            );
        }

        Assert.That(Check($"\"{Plugin}\"").Ok(), Is.EqualTo($"{Plugin}:latest true"));
        Assert.That(Check($"\"{Plugin}\", \"runai/gpu-memroy\"").Code, Is.Not.Zero, "mistyped");
        Assert.That(Check("").Code, Is.Not.Zero, "no name");
        Engine.Docker("plugin", "disable", "-f", Plugin).Ok();
        Assert.That(Check($"\"{Plugin}\"").Out, Does.Contain($"{Plugin}:latest false"));
        Engine.Docker("plugin", "enable", Plugin).Ok();
    }

    [Test]
    public void Containers_started_while_it_was_disabled_are_judged_later()
    {
        Engine.WritePolicy("""{ "requireQuota": true }""");
        Engine.Docker("plugin", "disable", "-f", Plugin).Ok();
        var unlimited = Engine.Start(Image, "sleep", "600");
        Engine.Docker("plugin", "enable", Plugin).Ok();
        Eventually(
            () => Engine.Log.Contains($"running against the rules container={unlimited}", StringComparison.Ordinal),
            "it is reported"
        );
        Engine.WritePolicy(null);
    }
}
