// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using NUnit.Framework;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Tests.Reconciliation;

namespace Runai.GpuMemory.Tests.Protocol;

/// <summary>What is answered before the web server sees it, and what is not. The fake authorizer is asked just about
/// what comes through the server.</summary>
[NonParallelizable]
sealed partial class PluginListenerTests
{
    const string Ping = """{"RequestMethod":"GET","RequestUri":"/_ping"}""";
    const string Start = """{"RequestMethod":"POST","RequestUri":"/containers/x/start"}""";
    const string Allowed = """{"Allow":true,"Msg":"","Err":""}""";

    PluginUnderTest _plugin = null!;
    RawHttp _engine = null!;

    [SetUp]
    public async Task Begin()
    {
        _plugin = await PluginUnderTest.StartAsync();
        _engine = new(_plugin.Socket);
    }

    [TearDown]
    public async Task End()
    {
        _engine.Dispose();
        await _plugin.DisposeAsync();
    }

    static string Call(string body, string method = "AuthZPlugin.AuthZReq", string more = "", string version = "1.1") =>
        $"POST /{method} HTTP/{version}\r\nHost: plugin\r\nContent-Length: "
        + $"{Encoding.UTF8.GetByteCount(body)}\r\n{more}\r\n{body}";

    [Test]
    public void Judged_and_unrelated_calls_share_a_connection()
    {
        for (var i = 0; i < 3; i++)
        {
            Assert.That(_engine.Call("AuthZPlugin.AuthZReq", Ping), Is.EqualTo((200, Allowed)));
            Assert.That(_engine.Call("AuthZPlugin.AuthZRes", Ping), Is.EqualTo((200, Allowed)));
        }
        Assert.That(_plugin.Asked, Is.Empty);
        _plugin.Refusal = "no";
        for (var i = 1; i < 4; i++)
        {
            Assert.That(_engine.Call("AuthZPlugin.AuthZReq", Start).Body, Does.Contain("\"Allow\":false"));
            Assert.That(_engine.Call("AuthZPlugin.AuthZReq", Ping), Is.EqualTo((200, Allowed)));
            Assert.That(_plugin.Asked, Has.Count.EqualTo(i));
        }
    }

    [Test]
    public void A_call_in_pieces_is_answered([Values(1, 20, 60, 90, 100)] int first, [Values] bool ofConcern)
    {
        var call = Call(ofConcern ? Start : Ping);
        _engine.Send(call[..first]);
        Thread.Sleep(20);
        _engine.Send(call[first..]);
        Assert.That(_engine.Receive(), Is.EqualTo((200, Allowed)));
        if (ofConcern)
            Assert.That(_plugin.Asked, Has.Count.EqualTo(1));
    }

    [Test]
    public void An_unrelated_long_call_is_read_to_its_end()
    {
        var answer =
            $$"""{"RequestMethod":"GET","RequestUri":"/_ping","ResponseBody":"{{new string('A', 100_000)}}"}""";
        _engine.Send(Call(answer, "AuthZPlugin.AuthZRes") + Call(answer, "AuthZPlugin.AuthZRes") + Call(Start));
        for (var i = 0; i < 3; i++)
            Assert.That(_engine.Receive(), Is.EqualTo((200, Allowed)));
        Assert.That(_plugin.Asked, Is.EqualTo(new[] { "before POST /containers/x/start" }));
    }

    [Test]
    public void Pipelined_calls_are_answered_in_order()
    {
        _plugin.Work = () => _plugin.Refusal = $"answer {_plugin.Asked.Count}";
        _engine.Send(Call(Start) + Call(Ping) + Call(Start));
        for (var i = 1; i <= 3; i++)
            Assert.That(_engine.Receive().Body, Does.Contain($"answer {i}"));
    }

    [Test]
    public void A_judged_long_call_arrives_whole()
    {
        var body = new byte[1_000_000];
        new Random(7).NextBytes(body);
        for (var i = 0; i < 3; i++)
        {
            _engine.Send(
                Call(
                    $$"""{"RequestMethod":"POST","RequestUri":"/x","RequestBody":"{{Convert.ToBase64String(body)}}"}"""
                )
            );
            Assert.That(_engine.Receive(), Is.EqualTo((200, Allowed)));
            Assert.That(_plugin.LastCall!.RequestBody, Is.EqualTo(body));
            Assert.That(_engine.Call("AuthZPlugin.AuthZReq", Ping), Is.EqualTo((200, Allowed)));
        }
        Assert.That(_plugin.Asked, Has.Count.EqualTo(3));
    }

    /// <summary>Heads that engines do not write: how they are to be read, the web server knows.</summary>
    [TestCase("Transfer-Encoding: chunked\r\n", "1.1", 200, false)]
    [TestCase("Content-Length: 7\r\n", "1.1", 400, false)]
    [TestCase("Expect: 100-continue\r\n", "1.1", 200, true)]
    [TestCase("Connection: close\r\n", "1.1", 200, true)]
    [TestCase("Content-length: +7\r\n", "1.1", 400, false)]
    [TestCase("x\r\n", "1.1", 400, false)]
    [TestCase("", "1.0", 200, true)]
    [TestCase("", "2.0", 505, false)]
    public void Unusual_heads_are_left_to_the_web_server(string more, string version, int status, bool readable)
    {
        _engine.Send(Call(Ping, more: more, version: version));
        var answer = _engine.Receive();
        Assert.That(
            (answer.Status, answer.Body == Allowed, _plugin.Asked.Count),
            Is.EqualTo((status, readable, readable ? 1 : 0))
        );
    }

    [TestCase("GET /AuthZPlugin.AuthZReq HTTP/1.1", 404)]
    [TestCase("POST /authzplugin.authzreq HTTP/1.1", 200)]
    [TestCase("POST /VolumeDriver.AuthZReq HTTP/1.1", 404)]
    public void Only_the_authorization_calls_are_answered_early(string line, int status)
    {
        _engine.Send($"{line}\r\nHost: plugin\r\nContent-Length: {Ping.Length}\r\n\r\n{Ping}");
        Assert.That(_engine.Receive().Status, Is.EqualTo(status));
        Assert.That(_plugin.Asked, Has.Count.EqualTo(status == 200 ? 1 : 0));
    }

    [Test]
    public void A_client_that_hangs_up_harms_no_other()
    {
        using (var other = new RawHttp(_plugin.Socket))
            other.Send(Call(Ping)[..^10] + "\",");
        using (var other = new RawHttp(_plugin.Socket))
            other.Send(
                "POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: plugin\r\nContent-Length: 100000\r\n\r\n" + Ping[..^1]
            );
        using (new RawHttp(_plugin.Socket)) { }
        Assert.That(_engine.Call("AuthZPlugin.AuthZReq", Ping), Is.EqualTo((200, Allowed)));
        Assert.That(_plugin.Asked, Is.Empty);
    }

    [Test]
    public void A_client_that_hangs_up_later_harms_no_other()
    {
        var call = Call(
            $$"""{"RequestMethod":"POST","RequestUri":"/x","RequestBody":"{{new string('A', 1_000_000)}}"}"""
        );
        for (var i = 0; i < 20; i++)
            using (var other = new RawHttp(_plugin.Socket))
                other.Send(call[..(call.Length - 1 - (i * 40_000))]);
        Assert.That(_engine.Call("AuthZPlugin.AuthZReq", Start), Is.EqualTo((200, Allowed)));
        Assert.That(_plugin.Asked, Has.Count.EqualTo(1));
    }

    [Test]
    public void Closed_connections_leave_nothing_behind()
    {
        static int Files() => Directory.GetFiles("/proc/self/fd").Length;
        _engine.Call("AuthZPlugin.AuthZReq", Start);
        var before = Files();
        for (var i = 0; i < 1000; i++)
            using (var other = new RawHttp(_plugin.Socket))
                other.Call("AuthZPlugin.AuthZReq", i % 2 == 0 ? Ping : Start);
        Assert.That(Files, Is.LessThan(before + 50).After(10_000, 100));
    }

    [Test]
    public void Many_connections_at_once_are_all_served()
    {
        var clients = Enumerable.Range(0, 200).Select(_ => new RawHttp(_plugin.Socket)).ToList();
        // On threads of their own: the server needs those of the pool.
        var calls = clients.ConvertAll(client =>
            Task.Factory.StartNew(
                () =>
                    Enumerable
                        .Range(0, 5)
                        .Select(i => client.Call("AuthZPlugin.AuthZReq", i == 2 ? Start : Ping))
                        .ToList(),
                TaskCreationOptions.LongRunning
            )
        );
        Assert.That(Task.WhenAll(calls).Result.SelectMany(answers => answers), Is.All.EqualTo((200, Allowed)));
        Assert.That(_plugin.Asked, Has.Count.EqualTo(clients.Count));
        clients.ForEach(client => client.Dispose());
    }

    /// <summary>There are 128 places for small bodies: who has read his waits for the engine without one.</summary>
    [Test]
    public void Many_waiting_calls_hold_up_no_other()
    {
        var answer = new TaskCompletionSource();
        _plugin.Engine = answer.Task;
        var clients = Enumerable.Range(0, 500).Select(_ => new RawHttp(_plugin.Socket)).ToList();
        clients.ForEach(client => client.Send(Call(Start)));
        Assert.That(() => _plugin.Asked.Count, Is.EqualTo(500).After(10_000, 20));
        _plugin.Engine = null;
        Assert.That(_engine.Call("AuthZPlugin.AuthZReq", Start), Is.EqualTo((200, Allowed)));
        Assert.That(_engine.Call("VolumeDriver.Get", """{"Name":"runai"}""").Body, Does.Contain("runai"));
        answer.SetResult();
        Assert.That(clients.ConvertAll(client => client.Receive()), Is.All.EqualTo((200, Allowed)));
        clients.ForEach(client => client.Dispose());
    }

    [Test]
    public async Task Connections_are_bounded_and_take_turns()
    {
        var log = new ConcurrentQueue<string>();
        var place = _plugin.Socket + "2";
        await using var listener = new PluginListener(
            SocketTransportOptions.CreateDefaultBoundListenSocket(new UnixDomainSocketEndPoint(place)),
            new(_plugin),
            new ListLogger<PluginListener>(log),
            maxConnections: 2
        );
        using var first = new RawHttp(place);
        var second = new RawHttp(place);
        Assert.That(
            (first.Call("AuthZPlugin.AuthZReq", Ping).Status, second.Call("AuthZPlugin.AuthZReq", Ping).Status),
            Is.EqualTo((200, 200))
        );
        using var third = new RawHttp(place);
        using var fourth = new RawHttp(place);
        third.Send(Call(Ping));
        fourth.Send(Call(Ping));
        var answer = Task.Factory.StartNew(third.Receive, TaskCreationOptions.LongRunning);
        Assert.That(first.Call("AuthZPlugin.AuthZReq", Ping).Status, Is.EqualTo(200));
        await Task.Delay(100);
        Assert.That(answer.IsCompleted, Is.False);
        Assert.That(
            log,
            Has.Count.EqualTo(1)
                .And.Some.StartsWith("Warning 106 The engine has 2 connections open to the plugin, as many as it may")
        );
        second.Dispose();
        Assert.That(await answer, Is.EqualTo((200, Allowed)));
        Assert.That(log, Has.Count.EqualTo(1)); // from here on a connection may end before the next one waits for it
        third.Dispose();
        Assert.That(fourth.Receive(), Is.EqualTo((200, Allowed)));
    }

    [Test]
    public void Connections_wait_while_no_file_can_be_opened()
    {
        var sockets = Enumerable.Range(0, 3).Select(_ => RawHttp.NewSocket()).ToList();
        var clients = new List<RawHttp>();
        Assert.That(GetLimit(OpenFiles, out var before), Is.Zero);
        Assert.That(SetLimit(OpenFiles, before with { Soft = 3 }), Is.Zero);
        try
        {
            clients.AddRange(sockets.Select(socket => new RawHttp(socket, _plugin.Socket)));
            Thread.Sleep(200);
        }
        finally
        {
            _ = SetLimit(OpenFiles, before);
        }
        Assert.That(
            clients.ConvertAll(client => client.Call("AuthZPlugin.AuthZReq", Ping)),
            Is.All.EqualTo((200, Allowed))
        );
        clients.ForEach(client => client.Dispose());
    }

    const int OpenFiles = 7;

    readonly record struct Limit(ulong Soft, ulong Hard);

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    private static partial int GetLimit(int what, out Limit limit);

    [LibraryImport("libc", EntryPoint = "setrlimit")]
    private static partial int SetLimit(int what, in Limit limit);

    [Test]
    public void A_connection_outlives_pauses()
    {
        Assert.That(_engine.Call("AuthZPlugin.AuthZReq", Start), Is.EqualTo((200, Allowed)));
        Thread.Sleep(3000); // the server looks for connections to end every second
        Assert.That(_engine.Call("AuthZPlugin.AuthZReq", Start), Is.EqualTo((200, Allowed)));
    }

    [Test]
    public void Connections_that_the_web_server_ends_are_closed()
    {
        _engine.Send("x\r\n\r\n");
        Assert.That(_engine.Receive().Status, Is.EqualTo(400));
        Assert.That(_engine.IsClosed());
    }

    [Test]
    public async Task The_end_closes_connections_that_wait()
    {
        _engine.Call("AuthZPlugin.AuthZReq", Ping);
        await _plugin.StopAsync();
        Assert.That(_engine.IsClosed());
        Assert.That(() => new RawHttp(_plugin.Socket), Throws.InstanceOf<System.Net.Sockets.SocketException>());
    }
}
