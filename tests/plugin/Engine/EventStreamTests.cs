// SPDX-License-Identifier: Apache-2.0
using Microsoft.AspNetCore.Http;
using NUnit.Framework;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Engine;

sealed class EventStreamTests
{
    FakeEngine _engine = null!;

    [SetUp]
    public async Task SetUp() => _engine = await FakeEngine.StartAsync();

    [TearDown]
    public async Task TearDown() => await _engine.DisposeAsync();

    /// <summary>Sends the parts with a pause between, then does what the test says.</summary>
    void Send(Func<HttpContext, Task> end, params string[] parts) =>
        _engine.On(
            "GET /events",
            async http =>
            {
                foreach (var part in parts)
                {
                    await http.Response.WriteAsync(part);
                    await http.Response.Body.FlushAsync();
                    await Task.Delay(20);
                }
                await end(http);
            }
        );

    static async Task<List<string>> ReadAsync(IAsyncEnumerable<EngineEvent> events, int count = int.MaxValue)
    {
        var read = new List<string>();
        await foreach (var one in events)
        {
            read.Add($"{one.Action} {one.Actor.Id}");
            if (read.Count == count)
                break;
        }
        return read;
    }

    [Test]
    public async Task Events_come_whole_from_any_chunks()
    {
        Send(
            _ => Task.CompletedTask,
            "{\"Type\":\"container\",\"Action\":\"st",
            "art\",\"Actor\":{\"ID\":\"1\",\"Attributes\":{}}}\n{\"Action\":\"die\",\"Ac",
            "tor\":{\"ID\":\"2\"}}\n\n",
            "{\"Action\":\"x\",\"Actor\":{\"ID\":\"3\"}}\n"
        );
        using var client = _engine.Client();
        Assert.That(
            await ReadAsync(await client.WatchContainersAsync(default)),
            Is.EqualTo(new[] { "start 1", "die 2", "x 3" })
        );
    }

    [Test]
    public async Task An_event_comes_at_once()
    {
        Send(_ => Task.Delay(-1, _engine.Stopped), "{\"Action\":\"start\",\"Actor\":{\"ID\":\"1\"}}\n");
        using var client = _engine.Client();
        Assert.That(
            await ReadAsync(await client.WatchContainersAsync(default), 1).WaitAsync(TimeSpan.FromSeconds(5)),
            Is.EqualTo(new[] { "start 1" })
        );
    }

    [Test]
    public async Task Only_recent_events_of_containers_are_asked_for()
    {
        Send(_ => Task.CompletedTask);
        using var client = _engine.Client();
        await ReadAsync(await client.WatchContainersAsync(default));
        var query = Uri.UnescapeDataString(_engine.Calls.Last().Split('?')[1]);
        Assert.That(
            query,
            Does.Match(@"^since=\d{10}\.\d{9}&filters=")
                .And.Contain("\"type\":[\"container\"]")
                .And.Contain("\"event\":[\"create\",\"start\",\"die\",\"stop\",\"destroy\",\"rename\"]")
        );
    }

    [Test]
    public void A_cut_connection_ends_the_events_with_a_failure()
    {
        Send(
            http =>
            {
                http.Abort();
                return Task.CompletedTask;
            },
            "{\"Action\":\"start\",\"Actor\":{\"ID\":\"1\"}}\n"
        );
        using var client = _engine.Client();
        Assert.That(
            async () => await ReadAsync(await client.WatchContainersAsync(default)),
            Throws.InstanceOf<EngineException>()
        );
    }

    [Test]
    public void Garbage_ends_the_events_with_a_failure()
    {
        Send(_ => Task.Delay(-1, _engine.Stopped), "<html>\n");
        using var client = _engine.Client();
        Assert.That(
            async () => await ReadAsync(await client.WatchContainersAsync(default)),
            Throws.InstanceOf<EngineException>()
        );
    }

    [TestCase(1000)]
    [TestCase(150_000)]
    [TestCase(3_000_000)]
    public async Task An_event_with_too_many_labels_loses_them_only(int length)
    {
        var labels = new string('<', length);
        Send(
            _ => Task.CompletedTask,
            $$$"""{"status":"start","id":"1","from":"x","Type":"container","Action":"start","Actor":{"ID":"1","Attributes":{"a":"{{{labels}}}"}},"time":1}"""
                + "\n"
                + """{"Action":"die","Actor":{"ID":"2"}}"""
                + "\n",
            $$"""{"status":"x","Type":"container","Action":"create","Actor":{"ID":"3","Attributes":{"ID":"4","a":"{{labels}}""",
            labels + "\"}}}\n{\"Action\":\"die\",\"Actor\":{\"ID\":\"3\"}}\n"
        );
        using var client = _engine.Client(options => options with { MaxEventBytes = 100_000 });
        Assert.That(
            await ReadAsync(await client.WatchContainersAsync(default)),
            Is.EqualTo(new[] { "start 1", "die 2", "create 3", "die 3" })
        );
    }

    [Test]
    public void An_endless_event_ends_the_events_with_a_failure()
    {
        Send(async http =>
        {
            while (!_engine.Stopped.IsCancellationRequested)
                await http.Response.WriteAsync(new string('x', 10_000), _engine.Stopped);
        });
        using var client = _engine.Client(options => options with { MaxEventBytes = 100_000 });
        Assert.That(
            async () => await ReadAsync(await client.WatchContainersAsync(default)),
            Throws.InstanceOf<EngineException>().With.Message.Contains("longer than")
        );
    }

    [Test]
    public void A_refusal_or_a_timeout_is_a_failure()
    {
        using var client = _engine.Client(options => options with { CallDeadline = TimeSpan.FromMilliseconds(300) });
        Assert.That(
            () => client.WatchContainersAsync(default),
            Throws.InstanceOf<EngineException>().With.Property("StatusCode").EqualTo(404)
        );
        _engine.On("GET /events", _ => Task.Delay(-1, _engine.Stopped));
        Assert.That(
            () => client.WatchContainersAsync(default),
            Throws.InstanceOf<EngineException>().With.Message.Contains("no answer")
        );
    }

    [Test]
    public async Task Watching_ends_when_it_is_cancelled()
    {
        Send(_ => Task.Delay(-1, _engine.Stopped), "\n");
        using var client = _engine.Client();
        using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));
        var events = await client.WatchContainersAsync(cancel.Token);
        Assert.That(
            async () =>
            {
                await foreach (var _ in events.WithCancellation(cancel.Token)) { }
            },
            Throws.InstanceOf<OperationCanceledException>()
        );
    }

    [Test]
    public async Task A_replaced_engine_is_asked_for_its_version()
    {
        Send(_ => Task.CompletedTask);
        _engine.On("GET /info", "{}");
        using var client = _engine.Client();
        await ReadAsync(await client.WatchContainersAsync(default));
        _engine.ApiVersion = "1.50";
        await client.InfoAsync(default);
        Assert.That(_engine.Calls.Last(), Is.EqualTo("GET /v1.50/info"));
    }
}
