using System.Globalization;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>The engine as the judge of how a body is to be read: whatever runs in the end has no GPU memory that the policy does not grant.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class OracleTests(string version) : PolicyFixture(version)
{
    const int Usual = 300, UsualSeed = 10_000_000, Fixtures = 2, MostReported = 5, Clients = 4;

    protected override string PolicyFile => """{ "requireQuota": true, "maxQuota": "0.5", "overcommit": 100 }""";

    static int Setting(string name, int usual) => int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out var value) ? value : usual;

    [Test]
    public void No_create_body_gets_more_than_the_policy_grants()
    {
        MakeSurroundings();
        var bodies = Setting("RUNAI_FUZZ_BODIES", Usual) / Fixtures;
        var seed = Setting("RUNAI_FUZZ_SEED", UsualSeed);
        TestContext.Progress.WriteLine($"{bodies} bodies on {Engine.Version}; again: RUNAI_FUZZ_SEED={seed} RUNAI_FUZZ_BODIES={bodies * Fixtures}");
        var plugin = Engine.PluginProcess();
        var breaches = new List<string>();
        var (created, ran, refused, limited) = (0, 0, 0, 0);
        Parallel.For(0, bodies, new ParallelOptions { MaxDegreeOfParallelism = Clients }, (i, loop) =>
        {
            var call = new BodyGenerator(seed + i).Next();
            var attempt = Attempt.Make(Engine, call.Body, Most, call.Target, call.Headers);
            lock (breaches)
            {
                created += attempt.Created.Status == 201 ? 1 : 0;
                ran += attempt.Runs ? 1 : 0;
                refused += attempt.IsRefused ? 1 : 0;
                limited += attempt.SeesGpu ? 1 : 0;
                if (attempt.Breach is not null) breaches.Add($"seed {seed + i}: {attempt.Breach}\n{call}\n{attempt}");
                if (attempt.Created.Status == 0 || attempt.Started?.Status == 0) breaches.Add($"seed {seed + i}: the engine did not answer\n{call}");
                if (breaches.Count >= MostReported) loop.Stop();
            }
            if (attempt.Id is { } id) Engine.Raw("DELETE", $"/containers/{id}?force=1&v=1");
        });

        TestContext.Progress.WriteLine($"{created} created, {ran} ran, {limited} of them with a limited GPU, {refused} refused by the plugin");
        Assert.That(breaches, Is.Empty, string.Join("\n\n", breaches));
        Assert.That(limited, Is.GreaterThan(bodies / 50), "containers that the policy grants a GPU run");
        Assert.That(refused, Is.GreaterThan(bodies / 10), "the plugin refuses what it must");
        Assert.That(Engine.PluginProcess(), Is.EqualTo(plugin), "the plugin has lived through it");
    }

    /// <summary>What bodies refer to. Before the policy, so that whoever made it is not asked.</summary>
    void MakeSurroundings()
    {
        foreach (var (name, change) in ((string, string)[])[("cuda", "ENV NVIDIA_VISIBLE_DEVICES=all"), ("old-cuda", "ENV CUDA_VERSION=8.0"), ("labelled", "LABEL gpu-memory=0.25"), ("labelled-1", "LABEL gpu-memory=1")])
            Engine.Docker("import", "-c", change, Repository.Image, name).Ok();
        Engine.WriteCdiSpecifications();
        Engine.WritePolicy("{}");
        Eventually(() => Engine.Docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/dev", "devices").Code == 0
            && Engine.Docker("create", "--name", "source", "--network", "none", "-v", "/dev:/x", "-v", "devices:/y", Image, "true").Code == 0, "without a policy all can be made");
        Engine.Docker("create", "--name", "ours", "--network", "none", "-v", "runai:/runai", "--label", "gpu-memory=0.5", Image, "true").Ok();
        Engine.WritePolicy(PolicyFile);
        Eventually(() => Engine.Docker("create", "--network", "none", "--gpus", "1", Image).Error.Contains("needs a quota", StringComparison.Ordinal), "the policy is back");
    }
}
