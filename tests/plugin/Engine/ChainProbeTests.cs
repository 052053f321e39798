// SPDX-License-Identifier: Apache-2.0
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Engine;

/// <summary>Whether the engine asks, found out by a ping on its socket.</summary>
sealed class ChainProbeTests
{
    readonly FakeTimeProvider _clock = new();
    FakeEngine _engine = null!;
    EngineClient _client = null!;
    ChainProbe _probe = null!;

    [SetUp]
    public async Task SetUp()
    {
        _engine = await FakeEngine.StartAsync();
        _client = _engine.Client();
        _probe = new(_client, _engine.Own, _clock);
    }

    [TearDown]
    public async Task TearDown()
    {
        _client.Dispose();
        await _engine.DisposeAsync();
    }

    Task<Asking> LookAsync() => _probe.LookAsync(CancellationToken.None);

    Task AskAsync(HttpContext http)
    {
        _engine.Own.NoteAuthorizationCall(http.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget);
        return Task.CompletedTask;
    }

    [Test]
    public async Task An_engine_that_asks_about_the_ping_asks()
    {
        _engine.OnPing = AskAsync;
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Yes));
        _engine.OnPing = null;
        Assert.That(await LookAsync(), Is.EqualTo(Asking.No), "nothing is kept");
    }

    [Test]
    public async Task Questions_about_other_calls_say_nothing()
    {
        _engine.OnPing = _ =>
        {
            foreach (
                var other in new[]
                {
                    "/_ping",
                    "/_ping?" + new string('0', 32),
                    new SelfCalls().NewPing().Target,
                    _engine.Own.NewPing().Target,
                    "/containers/json",
                    null,
                }
            )
                _engine.Own.NoteAuthorizationCall(other);
            return Task.CompletedTask;
        };
        Assert.That(await LookAsync(), Is.EqualTo(Asking.No));
    }

    static RequestDelegate With(int status) =>
        http =>
        {
            http.Response.StatusCode = status;
            return Task.CompletedTask;
        };

    [TestCase(403)]
    [TestCase(500)]
    [TestCase(503)]
    public async Task Where_the_ping_is_denied_an_inspect_shows_it(int status)
    {
        _engine.OnPing = With(status);
        Assert.That(await LookAsync(), Is.EqualTo(Asking.No), "the engine answers that itself");
        _engine.OnLook = AskAsync;
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Yes));
        _engine.OnLook = With(status);
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Denied), "this is no boot");
    }

    [Test]
    public async Task A_later_plugin_may_deny_the_ping()
    {
        _engine.OnPing = async http =>
        {
            await AskAsync(http);
            http.Response.StatusCode = 403;
        };
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Yes));
    }

    [Test]
    public async Task Only_an_engine_that_ends_the_connection_boots()
    {
        _engine.OnPing = http =>
        {
            http.Abort();
            return Task.CompletedTask;
        };
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Booting));
        await _engine.DownAsync();
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Absent));
        using (
            var stale = new System.Net.Sockets.Socket(
                System.Net.Sockets.AddressFamily.Unix,
                System.Net.Sockets.SocketType.Stream,
                0
            )
        )
            stale.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(_engine.Socket));
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Absent), "a socket that an engine has left");
    }

    [Test]
    public async Task A_boot_has_a_time_limit()
    {
        _engine.OnPing = http =>
        {
            http.Abort();
            return Task.CompletedTask;
        };
        _clock.Advance(ChainProbe.MaxBootTime - TimeSpan.FromSeconds(1));
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Booting));
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Silent));
        _probe.IsApiServed = true;
        _probe.IsApiServed = false;
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Booting), "another engine");
        _clock.Advance(ChainProbe.MaxBootTime);
        await _engine.DownAsync();
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Absent));
        await _engine.UpAsync();
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Booting), "it was away");
    }

    /// <summary>An engine that boots: whoever waited once need not wait again, and the ping is answered when the API is
    /// served.</summary>
    [Test]
    public async Task One_ping_is_out_and_waits_are_short()
    {
        var served = new TaskCompletionSource();
        _engine.OnPing = _ => served.Task;
        var first = LookAsync();
        Assert.That(first.IsCompleted, Is.False);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.That(await first, Is.EqualTo(Asking.Booting));
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Booting));
        served.SetResult();
        Assert.That(async () => await LookAsync(), Is.EqualTo(Asking.No).After(5000, 10));
        Assert.That(
            _engine.Calls.Count(call => call.Contains("_ping?", StringComparison.Ordinal)),
            Is.LessThanOrEqualTo(2)
        );
    }

    [Test]
    public async Task A_busy_engine_is_waited_for()
    {
        var served = new TaskCompletionSource();
        _engine.OnPing = _ => served.Task;
        _probe.IsApiServed = true;
        var look = LookAsync();
        _clock.Advance(TimeSpan.FromSeconds(29));
        Assert.That(look.IsCompleted, Is.False);
        var second = LookAsync();
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.That((await look, await second), Is.EqualTo((Asking.Silent, Asking.Silent)), "it does not boot");
        served.SetResult();
        Assert.That(async () => await LookAsync(), Is.EqualTo(Asking.No).After(5000, 10));
    }

    [Test]
    public async Task Simultaneous_looks_share_one_ping()
    {
        var go = new TaskCompletionSource();
        _engine.OnPing = async http =>
        {
            await go.Task;
            await AskAsync(http);
        };
        var looks = Enumerable.Range(0, 50).Select(_ => LookAsync()).ToArray();
        go.SetResult();
        Assert.That(await Task.WhenAll(looks), Is.All.EqualTo(Asking.Yes));
        Assert.That(_engine.Calls, Has.Count.EqualTo(1));
    }

    /// <summary>An engine that has dropped the plugin just now: what it asked before shows nothing.</summary>
    [Test]
    public async Task A_later_look_sends_another_ping()
    {
        var (asked, go) = (new TaskCompletionSource(), new TaskCompletionSource());
        _engine.OnPing = async http =>
        {
            await AskAsync(http);
            asked.TrySetResult();
            await go.Task;
        };
        var before = LookAsync();
        await asked.Task;
        _engine.OnPing = null;
        Assert.That(await LookAsync(), Is.EqualTo(Asking.No));
        go.SetResult();
        Assert.That(await before, Is.EqualTo(Asking.Yes));
    }
}
