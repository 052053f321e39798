// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>The engine as the judge of how a body is to be read: whatever runs in the end has no GPU memory that the
/// policy does not grant.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed partial class OracleTests(string version) : PolicyFixture(version)
{
    const int Usual = 300,
        UsualSeed = 10_000_000,
        Fixtures = 2,
        MaxReported = 5,
        Clients = 6;

    protected override string PolicyFile =>
        """{ "requireQuota": true, "maxQuota": "0.5", "overcommit": 100, "allowPrivileged": false, "allowHostNamespaces": false, "allowBindMounts": [] }""";

    /// <summary>Containers that the engine describes alike: each is started once.</summary>
    readonly ConcurrentDictionary<string, bool> _seen = new(StringComparer.Ordinal);

    /// <summary>What differs between two containers of one configuration.</summary>
    [GeneratedRegex(
        @"[0-9a-f]{64}|""(Id|Created|Name|Hostname|\w*Path|DataRoot|LowerDir|MergedDir|UpperDir|WorkDir)"": ?""[^""]*"""
    )]
    private static partial Regex Own();

    bool IsNew(string id) => _seen.TryAdd(Own().Replace(Engine.Raw("GET", $"/containers/{id}/json").Body, ""), true);

    static int Setting(string name, int usual) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out var value)
            ? value
            : usual;

    [Test]
    public void No_create_body_gets_more_than_the_policy_grants()
    {
        MakeSurroundings();
        var bodies = Setting("RUNAI_FUZZ_BODIES", Usual) / Fixtures;
        var seed = Setting("RUNAI_FUZZ_SEED", UsualSeed);
        TestContext.Progress.WriteLine(
            $"{bodies} bodies on {Engine.Version}; again: RUNAI_FUZZ_SEED={seed} RUNAI_FUZZ_BODIES={bodies * Fixtures}"
        );
        var plugin = Engine.PluginProcess();
        var breaches = new List<string>();
        var (created, ran, refused, limited) = (0, 0, 0, 0);
        var clock = Stopwatch.StartNew();
        Parallel.For(
            0,
            bodies,
            new ParallelOptions { MaxDegreeOfParallelism = Clients },
            (i, loop) =>
            {
                var call = new BodyGenerator(seed + i).Next();
                var attempt = Attempt.Create(Engine, call.Body, call.Target, call.Headers);
                if (attempt.Id is { } made && IsNew(made))
                {
                    attempt = attempt.Start(Engine, Most);
                    if (attempt.Runs && attempt.Breach is null)
                        attempt = attempt with { Breach = Ground.FindBreach(Engine, made) };
                }
                lock (breaches)
                {
                    created += attempt.Created.Status == 201 ? 1 : 0;
                    ran += attempt.Runs ? 1 : 0;
                    refused += attempt.IsRefused ? 1 : 0;
                    limited += attempt.SeesGpu ? 1 : 0;
                    if (attempt.Breach is not null)
                        breaches.Add($"seed {seed + i}: {attempt.Breach}\n{call}\n{attempt}");
                    if (attempt.Created.Status == 0 || attempt.Started?.Status == 0)
                        breaches.Add($"seed {seed + i}: the engine did not answer\n{call}");
                    if (breaches.Count >= MaxReported)
                        loop.Stop();
                }
                if (attempt.Id is { } id)
                    Engine.Raw("DELETE", $"/containers/{id}?force=1&v=1");
            }
        );

        TestContext.Progress.WriteLine(
            $"{created} created, {_seen.Count} different ones of them started, {ran} ran, {limited} of them with a limited GPU, {refused} bodies refused by the plugin; {bodies / clock.Elapsed.TotalSeconds:0.0} bodies a second"
        );
        Assert.That(breaches, Is.Empty, string.Join("\n\n", breaches));
        Assert.That(limited, Is.GreaterThan(Math.Min(bodies / 50, 20)), "containers that the policy grants a GPU run");
        Assert.That(refused, Is.GreaterThan(bodies / 10), "the plugin refuses what it must");
        Assert.That(Engine.PluginProcess(), Is.EqualTo(plugin), "the plugin has lived through it");
    }

    /// <summary>While all is allowed.</summary>
    void TheOracleCanTell()
    {
        Engine.Docker("volume", "create", "-o", "type=mqueue", "-o", "device=x", "kernels").Ok();
        string? Found(params string[] flags) =>
            Ground.FindBreach(
                Engine,
                Engine.Docker(["run", "-d", "--network", "none", .. flags, Image, "sleep", "300"]).Ok()
            );
        Assert.That(
            (Found(), Found("--pid", "host"), Found("-v", "kernels:/x")),
            Is.EqualTo(((string?)null, "has the host's pid namespace", "has mqueue at /x"))
        );
        Assert.That(Found("--cap-add", "SYS_PTRACE"), Does.StartWith("has the capabilities"));
    }

    /// <summary>What bodies refer to. Before the policy, so that whoever made it is not asked.</summary>
    void MakeSurroundings()
    {
        foreach (
            var (name, change) in ((string, string)[])
                [
                    ("cuda", "ENV NVIDIA_VISIBLE_DEVICES=all"),
                    ("old-cuda", "ENV CUDA_VERSION=8.0"),
                    ("labelled", "LABEL gpu-memory=0.25"),
                    ("labelled-1", "LABEL gpu-memory=1"),
                ]
        )
            Engine.Docker("import", "-c", change, Repository.Image, name).Ok();
        Engine.WriteCdiSpecifications();
        Engine.WritePolicy("{}");
        Eventually(
            () =>
                Engine
                    .Docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/dev", "devices")
                    .Code == 0
                && Engine
                    .Docker(
                        "create",
                        "--name",
                        "source",
                        "--network",
                        "none",
                        "-v",
                        "/dev:/x",
                        "-v",
                        "devices:/y",
                        Image,
                        "true"
                    )
                    .Code == 0,
            "without a policy all can be made"
        );
        Engine
            .Docker(
                "create",
                "--name",
                "ours",
                "--network",
                "none",
                "-v",
                "runai:/runai",
                "--label",
                "gpu-memory=0.5",
                Image,
                "true"
            )
            .Ok();
        TheOracleCanTell();
        Engine.WritePolicy(PolicyFile);
        Eventually(
            () =>
                Engine
                    .Docker("create", "--network", "none", "--gpus", "1", Image)
                    .Error.Contains("needs a quota", StringComparison.Ordinal),
            "the policy is back"
        );
    }
}
