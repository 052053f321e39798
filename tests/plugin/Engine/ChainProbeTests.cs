using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using NUnit.Framework;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Engine;

/// <summary>Whether the engine asks, found out by a ping on its socket.</summary>
public class ChainProbeTests
{
    readonly StoppedClock _clock = new();
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
        _engine.Own.NoteAsked(http.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget);
        return Task.CompletedTask;
    }

    [Test]
    public async Task An_engine_that_asks_about_the_ping_before_it_answers_asks()
    {
        _engine.OnPing = AskAsync;
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Yes));
        _engine.OnPing = null;
        Assert.That(await LookAsync(), Is.EqualTo(Asking.No), "nothing is kept");
    }

    [Test]
    public async Task What_it_asks_about_other_calls_meanwhile_says_nothing_of_the_ping()
    {
        _engine.OnPing = _ =>
        {
            foreach (var other in new[] { "/_ping", "/_ping?" + new string('0', 32), new OwnCalls().Ping, "/containers/json", null }) _engine.Own.NoteAsked(other);
            return Task.CompletedTask;
        };
        Assert.That(await LookAsync(), Is.EqualTo(Asking.No));
    }

    [TestCase(403)]
    [TestCase(404)]
    [TestCase(500)]
    [TestCase(503)]
    public async Task Any_other_answer_says_nothing(int status)
    {
        _engine.OnPing = http =>
        {
            http.Response.StatusCode = status;
            return Task.CompletedTask;
        };
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Unknown));
    }

    [Test]
    public async Task Neither_does_a_connection_that_ends_nor_an_engine_that_is_not_there()
    {
        _engine.OnPing = http =>
        {
            http.Abort();
            return Task.CompletedTask;
        };
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Unknown));
        await _engine.DownAsync();
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Unknown));
    }

    /// <summary>An engine that boots: whoever waited once need not wait again, and the ping is answered when the API is served.</summary>
    [Test]
    public async Task While_there_is_no_answer_nobody_waits_for_long_and_one_ping_is_out()
    {
        var served = new TaskCompletionSource();
        _engine.OnPing = _ => served.Task;
        var first = LookAsync();
        Assert.That(first.IsCompleted, Is.False);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.That(await first, Is.EqualTo(Asking.Unknown));
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Unknown));
        served.SetResult();
        Assert.That(async () => await LookAsync(), Is.EqualTo(Asking.No).After(5000, 10));
        Assert.That(_engine.Calls.Count(call => call.Contains("_ping?", StringComparison.Ordinal)), Is.LessThanOrEqualTo(2));
    }

    [Test]
    public async Task An_engine_that_serves_its_API_and_is_busy_is_waited_for()
    {
        var served = new TaskCompletionSource();
        _engine.OnPing = _ => served.Task;
        _probe.IsApiServed = true;
        var look = LookAsync();
        _clock.Advance(TimeSpan.FromSeconds(9));
        Assert.That(look.IsCompleted, Is.False);
        served.SetResult();
        Assert.That(await look, Is.EqualTo(Asking.No));
    }

    [Test]
    public async Task Who_looks_at_the_same_time_shares_one_ping()
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

    [Test]
    public async Task A_call_under_way_about_which_it_asked_shows_that_it_asks_for_a_second_at_most()
    {
        _probe.CallBegan();
        Assert.That(await LookAsync(), Is.EqualTo(Asking.Yes));
        Assert.That(_engine.Calls, Is.Empty, "no ping");
        _probe.CallEnded();
        Assert.That(await LookAsync(), Is.EqualTo(Asking.No), "it is done");

        _probe.CallBegan();
        _clock.Advance(TimeSpan.FromSeconds(1.001));
        Assert.That(await LookAsync(), Is.EqualTo(Asking.No), "it takes long");
        _probe.CallEnded();
        _probe.CallEnded();
        Assert.That(await LookAsync(), Is.EqualTo(Asking.No));
    }
}

/// <summary>Time that passes when it is told to; timers go off then.</summary>
sealed class StoppedClock : TimeProvider
{
    readonly List<(Alarm Alarm, long Due)> _alarms = [];
    long _ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;
    public override long GetTimestamp() => Volatile.Read(ref _ticks);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var alarm = new Alarm(callback, state);
        lock (_alarms) _alarms.Add((alarm, _ticks + dueTime.Ticks));
        return alarm;
    }

    public void Advance(TimeSpan time)
    {
        Alarm[] due;
        lock (_alarms)
        {
            _ticks += time.Ticks;
            due = [.. _alarms.Where(one => one.Due <= _ticks).Select(one => one.Alarm)];
            _alarms.RemoveAll(one => one.Due <= _ticks);
        }
        foreach (var alarm in due) alarm.GoOff();
    }

    sealed class Alarm(TimerCallback callback, object? state) : ITimer
    {
        volatile bool _isOff;

        public void GoOff()
        {
            if (!_isOff) callback(state);
        }

        public bool Change(TimeSpan dueTime, TimeSpan period) => true;
        public void Dispose() => _isOff = true;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
