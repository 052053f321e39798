// SPDX-License-Identifier: Apache-2.0
using System.Text.RegularExpressions;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>Calls that ask for much: nothing is allowed because there was no time to look, and the engine goes
/// on.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed partial class FloodTests(string version) : PolicyFixture(version)
{
    protected override string PolicyFile =>
        """{ "requireQuota": true, "localSocket": "user", "maxVolumes": 3, "allowPrivileged": false, "allowHostNamespaces": false, "allowBindMounts": ["/home/*"] }""";

    static string Many(int count, Func<int, string> item) => string.Join(',', Enumerable.Range(0, count).Select(item));

    void Rule(string policy)
    {
        Engine.WritePolicy(policy);
        Eventually(
            () => Attempt.IsRefusal(Engine.Raw("POST", "/plugins/none/disable")) == (policy == PolicyFile),
            "the policy is read"
        );
    }

    static string Refusal(RawAnswer answer)
    {
        Assert.That(Attempt.IsRefusal(answer), $"{answer}");
        return answer.Body;
    }

    [Test]
    public void A_long_refusal_is_cut_short()
    {
        var things = Many(3000, i => $"\"acme.com/a-long-name-of-a-thing=number-{i}\"");
        var asked = Engine.Raw(
            "POST",
            "/containers/create",
            Body.Plain.Requests($$"""{"Driver":"cdi","DeviceIDs":[{{things}}]}""").Quota(new string('9', 100_000)).Bytes
        );
        Assert.That(Refusal(asked), Has.Length.LessThan(9 << 10));
        Refusal(Engine.Raw("POST", "/containers/create", "{}x"u8.ToArray()));
        Eventually(
            () =>
                Engine.Log.Contains(
                    "gpu-memory warning 601: denied ContainerCreate user= container= image= gpu=none "
                        + "quota=none rule=create-body",
                    StringComparison.Ordinal
                ),
            "the line after it is there"
        );
    }

    [Test]
    public void The_plugins_name_finds_all_its_log_lines()
    {
        Engine.Run("--rm", "-v", "runai:/runai", "--label", "gpu-memory=0.5", Image, "true").Ok();
        var lines = Engine.Log.Split('\n').Where(line => OfPlugin().IsMatch(line)).ToArray();
        Assert.That(lines, Has.Length.GreaterThan(3));
        Assert.That(lines.Where(line => !line.Contains("msg=\"gpu-memory ", StringComparison.Ordinal)), Is.Empty);
        Assert.That(lines, Has.Some.Contain("gpu-memory info 600: allowed ContainerStart"));
        Assert.That(
            lines.Where(line =>
                line.Contains("level=error", StringComparison.Ordinal)
                != line.Contains("\"gpu-memory error", StringComparison.Ordinal)
            ),
            Is.Empty
        );
    }

    static byte[] Text(string text) => System.Text.Encoding.UTF8.GetBytes(text);

    [Test]
    public void Many_volumes_from_do_not_hold_up_the_decision()
    {
        Rule("{}");
        Engine.Docker("create", "--name", "rooted", "--network", "none", "-v", "/etc:/host", Image, "true").Ok();
        Rule(PolicyFile);
        RawAnswer From(int count) =>
            Engine.Raw(
                "POST",
                "/containers/create",
                Body.Plain.HostList(
                    "VolumesFrom",
                    Enumerable.Range(0, count).Select(i => i % 2 == 0 ? "rooted" : "rooted:ro")
                ).Bytes
            );
        Assert.That(
            Refusal(From(400)),
            Does.Contain("a mount of the host's /etc is not allowed on this machine"),
            "it is asked for once"
        );
        Assert.That(Refusal(From(2000)), Does.Contain("it has 2000 mounts and --volumes-from"));
    }

    static Body BindsOf(int count) => Body.Plain.Binds(Enumerable.Range(0, count).Select(i => $"/home/a:/b{i}"));

    [Test]
    public void Too_many_binds_are_refused_and_block_no_one()
    {
        var body = BindsOf(45_000).Bytes;
        var flood = Enumerable
            .Range(0, 8)
            .AsParallel()
            .WithDegreeOfParallelism(8)
            .Select(_ => Engine.Raw("POST", "/containers/create", body))
            .ToArray();
        Assert.That(flood.Select(Refusal), Has.All.Contain("HostConfig is longer than 262144 bytes"));
        Assert.That(
            Refusal(Engine.Raw("POST", "/containers/create", BindsOf(1000).Bytes)),
            Does.Contain("it has 1000 mounts")
        );
        Engine.Run("--rm", "-v", "runai:/runai", "--label", "gpu-memory=0.5", Image, "true").Ok();
    }

    [Test]
    public void Many_bodies_below_the_bound_use_bounded_memory()
    {
        var plugin = Engine.PluginProcess();
        var body = Body.Plain.HostList("CapAdd", Enumerable.Repeat("", 22_000)).Bytes;
        var flood = Enumerable
            .Range(0, 200)
            .AsParallel()
            .WithDegreeOfParallelism(100)
            .Select(_ => Engine.Raw("POST", "/containers/create?name=-", body))
            .ToArray();
        Assert.That(flood.Select(answer => answer.Status), Has.All.AnyOf(400, 403), "its name is none");
        Assert.That(Engine.PluginProcess(), Is.EqualTo(plugin), "it lives");
    }

    /// <summary>Seven tenths of the GPU, judged, run and ended; seven tenths of another, that run; and a start by a
    /// name that was judged as a third's.</summary>
    [Test]
    public void Each_run_needs_a_judgement_of_its_own()
    {
        var (large, holder) = (CreateLegal("large", "0.7"), CreateLegal("holder", "0.7"));
        CreateLegal("small", "0.1");
        Engine.Docker("start", large).Ok();
        Engine.Docker("stop", "-t", "0", large).Ok();
        Eventually(() => Engine.Docker("start", holder).Code == 0, "there is room");
        var done = 0;
        using (
            new SecondPlugin(
                Engine.PluginSockets,
                call =>
                {
                    if (
                        !call.EndsWith("/containers/small/start", StringComparison.Ordinal)
                        || Interlocked.Exchange(ref done, 1) != 0
                    )
                        return;
                    Engine.Raw("POST", "/containers/small/rename?name=aside");
                    Engine.Raw("POST", $"/containers/{large}/rename?name=small");
                }
            )
        )
        {
            Engine.Authorize(SecondPlugin.Name);
            Assert.That(Engine.Raw("POST", "/containers/small/start").Status, Is.EqualTo(204));
            Engine.Authorize();
        }

        Assert.That(done, Is.EqualTo(1));
        Eventually(() => !Engine.Runs(large), "it is stopped");
        Assert.That(Engine.Log, Does.Contain("rules=capacity,unjudged-start"));
        Assert.That(Engine.Runs(holder));
    }

    /// <summary>While an archive is read from it, the engine does not tell what a container is.</summary>
    [Test]
    public void Starts_of_a_hanging_container_hold_up_no_other()
    {
        CreateLegal("hangs", "0.1");
        CreateLegal("free", "0.1");
        using var reader = new System.Net.Sockets.Socket(
            System.Net.Sockets.AddressFamily.Unix,
            System.Net.Sockets.SocketType.Stream,
            System.Net.Sockets.ProtocolType.Unspecified
        );
        reader.Connect(new System.Net.Sockets.UnixDomainSocketEndPoint(Engine.Socket));
        reader.Send("GET /containers/hangs/archive?path=/usr HTTP/1.1\r\nHost: x\r\n\r\n"u8);
        reader.Receive(new byte[100]);
        var flood = Enumerable
            .Range(0, 300)
            .Select(_ =>
                Task.Factory.StartNew(
                    () => Engine.Raw("POST", "/containers/hangs/start"),
                    TaskCreationOptions.LongRunning
                )
            )
            .ToArray();
        Eventually(() => flood.Any(start => start.IsCompleted), "some are refused at once");
        Engine.Docker("start", "free").Ok();
        Assert.That(
            Task.WhenAll(flood).Result.Select(Refusal).Distinct(),
            Has.Some.Contains("50 calls for hangs wait for the engine").And.Exactly(2).Items
        );
        reader.Dispose();
        Eventually(() => Engine.Docker("start", "hangs").Code == 0, "it is described again");
    }

    [Test]
    public void Many_simultaneous_restarts_keep_the_place()
    {
        var (stormy, other) = (CreateLegal("stormy", "0.7"), CreateLegal("other", "0.7"));
        Engine.Docker("start", stormy).Ok();
        Parallel.For(
            0,
            8,
            new ParallelOptions { MaxDegreeOfParallelism = 8 },
            i => Engine.Raw("POST", $"/containers/{(i % 2 == 0 ? stormy : "stormy")}/restart?t=0")
        );
        Eventually(() => Engine.Runs(stormy), "it runs");
        Assert.That(Engine.Docker("start", other).Error, Does.Contain("stormy"), "it holds seven tenths");
        Engine.Docker("stop", "-t", "0", stormy).Ok();
        Eventually(() => Engine.Docker("start", other).Code == 0, "its end is its end");
        Engine.Docker("rm", "-f", stormy, other).Ok();
    }

    [Test]
    public void No_container_name_looks_like_an_ID()
    {
        var id = CreateLegal("plain", "0.1");
        Assert.That(
            Refusal(Engine.Raw("POST", $"/containers/create?name={id}", Body.Plain.Bytes)),
            Does.Contain("has the form of a container's ID")
        );
        Assert.That(Engine.Docker("rename", "plain", id).Error, Does.Contain("has the form of a container's ID"));
    }

    [Test]
    public void Quota_volumes_are_bounded_and_their_makers_remove_them()
    {
        Output Make(string name) => Engine.Docker("volume", "create", "-d", Plugin, "-o", "gpu-memory=0.5", name);
        Rule("{}");
        Make("of-admins").Ok();
        Rule(PolicyFile);
        Make("mine-1").Ok();
        Make("mine-2").Ok();
        Assert.That(
            Make("mine-3").Error,
            Does.Contain("there are 3 volumes with a quota, as many as this machine allows (maxVolumes in the policy)")
        );
        Engine.KillPlugin();
        Assert.That(
            Engine.Docker("volume", "rm", "of-admins").Error,
            Does.Contain("only who made it and admins may remove it")
        );
        Engine.Docker("volume", "rm", "mine-1").Ok();
        Make("mine-3").Ok();
        Engine.Docker("volume", "rm", "mine-2", "mine-3").Ok();
        Rule("{}");
        Engine.Docker("volume", "rm", "of-admins").Ok();
        Rule(PolicyFile);
    }

    /// <summary>The engine writes the plugin's ID behind each of its lines.</summary>
    [GeneratedRegex("plugin=[0-9a-f]{64}")]
    private static partial Regex OfPlugin();
}
