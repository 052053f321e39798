// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Tests.Reconciliation;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

/// <summary>What users and the log are told while the engine does not ask.</summary>
sealed class ChainGuardTests
{
    readonly ConcurrentQueue<string> _log = [];
    readonly FakeTimeProvider _clock = new();
    readonly SelfCalls _own = new();
    FakeDocker _docker = null!;
    string _socket = "";
    PluginIdentity _identity = null!;
    ChainGuard _guard = null!;

    [SetUp]
    public void SetUp()
    {
        _log.Clear();
        _socket = Path.GetTempFileName();
        _docker = new() { PluginName = "lab/gpu:latest" };
        var settings = new PluginSettings { State = "/state", EngineSocket = _socket };
        _identity = new(new StateLayout(settings), settings, new FakeMounts("/state"));
        _guard = new(
            new ChainProbe(_docker, _own, _clock),
            _identity,
            settings,
            _docker,
            _clock,
            new ListLogger<ChainGuard>(_log)
        );
    }

    [TearDown]
    public void TearDown()
    {
        _guard.Dispose();
        File.Delete(_socket);
    }

    Task<string?> RefusalAsync() => _guard.RefusalAsync(CancellationToken.None);

    void Answer(Asking asking)
    {
        _docker.OnPing = asking == Asking.Yes ? _own.NoteAuthorizationCall : null;
        _docker.PingStatus = asking switch
        {
            Asking.Booting or Asking.Silent => null,
            Asking.Absent => IEngineClient.NoListener,
            Asking.Denied => 403,
            _ => 200,
        };
    }

    [Test]
    public async Task The_refusal_says_what_to_write_where()
    {
        Answer(Asking.No);
        Assert.That(
            await RefusalAsync(),
            Is.EqualTo(
                "the engine does not ask the plugin lab/gpu about containers, so no limit would hold. As root, "
                    + "see that /etc/docker/daemon.json has "
                    + "\"authorization-plugins\": [\"lab/gpu\"], then let the engine read it: systemctl reload "
                    + "docker, or kill -HUP $(cat /run/docker.pid)"
            )
        );
        _identity.Name = "lab/gpu:v2";
        Assert.That(await RefusalAsync(), Does.Contain("[\"lab/gpu:v2\"]"));
    }

    /// <summary>An engine that reads a name of which it has no plugin ends.</summary>
    [Test]
    public async Task An_unknown_plugin_name_is_not_guessed()
    {
        Answer(Asking.No);
        _docker.PluginName = null;
        Assert.That(
            await RefusalAsync(),
            Does.Contain("[\"NAME\"] with the name that docker plugin ls shows").And.Not.Contain("runai/gpu-memory")
        );
    }

    [TestCase(Asking.Yes)]
    [TestCase(Asking.Booting)]
    public async Task An_engine_that_asks_or_boots_is_refused_nothing(Asking asking)
    {
        Answer(asking);
        Assert.That(await RefusalAsync(), Is.Null);
    }

    [TestCase(Asking.Denied, "another authorization plugin refuses, or fails at, this plugin's calls to the engine")]
    [TestCase(Asking.Absent, "the plugin finds no engine at ")]
    [TestCase(Asking.Silent, "the engine at ")]
    public async Task Nothing_is_mounted_unless_the_engine_boots(Asking asking, string words)
    {
        Answer(asking);
        if (asking == Asking.Silent)
            _clock.Advance(ChainProbe.MaxBootTime);
        Assert.That(await RefusalAsync(), Does.StartWith(words).And.Contain("no limit would hold"));
        Assert.That(_log.Single(), Does.StartWith("Error 220 ").And.Contain(words));
    }

    [Test]
    public async Task Without_a_socket_nothing_can_be_enforced()
    {
        Answer(Asking.Booting);
        File.Delete(_socket);
        for (var n = 0; n < 3; n++)
            Assert.That(
                await RefusalAsync(),
                Does.StartWith($"the plugin finds no engine at {_socket}, so no limit would hold")
            );
        Assert.That(_log, Has.Count.EqualTo(1).And.All.StartsWith("Error 220 "));
    }

    [Test]
    public async Task The_log_repeats_the_state_every_ten_minutes()
    {
        async Task<int> LinesAsync(Asking asking)
        {
            Answer(asking);
            for (var n = 0; n < 20; n++)
                await RefusalAsync();
            return _log.Count;
        }

        Assert.That((await LinesAsync(Asking.Booting), await LinesAsync(Asking.No)), Is.EqualTo((0, 1)));
        Assert.That(_log.Last(), Does.StartWith("Error 220 ").And.Contain("\"authorization-plugins\": [\"lab/gpu\"]"));
        _clock.Advance(TimeSpan.FromMinutes(9));
        Assert.That((await LinesAsync(Asking.No), await LinesAsync(Asking.Booting)), Is.EqualTo((1, 1)));
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.That((await LinesAsync(Asking.No), await LinesAsync(Asking.Yes)), Is.EqualTo((2, 3)));
        Assert.That(_log.Last(), Does.StartWith("Information 221 "));
        Assert.That(await LinesAsync(Asking.No), Is.EqualTo(4), "it begins again");
    }

    [Test]
    public async Task The_guard_looks_until_the_engine_answers()
    {
        Answer(Asking.Booting);
        await _guard.StartAsync(CancellationToken.None);
        Assert.That(() => _docker.Pings, Is.GreaterThan(2).After(10_000, 10));
        Assert.That(_log, Is.Empty);
        Answer(Asking.No);
        Assert.That(() => _log.Count, Is.EqualTo(1).After(10_000, 10));
        await _guard.StopAsync(CancellationToken.None);
    }

    [Test]
    public async Task A_mount_without_an_answer_is_checked_again()
    {
        Answer(Asking.Yes);
        await _guard.StartAsync(CancellationToken.None);
        Assert.That(() => _log.Count, Is.EqualTo(1).After(10_000, 10));
        Answer(Asking.Booting);
        Assert.That(await RefusalAsync(), Is.Null);
        Answer(Asking.No);
        Assert.That(() => _log.LastOrDefault(), Does.StartWith("Error 220 ").After(10_000, 10));
        await _guard.StopAsync(CancellationToken.None);
    }
}
