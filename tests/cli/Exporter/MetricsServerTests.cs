// SPDX-License-Identifier: Apache-2.0
using System.Net;
using System.Net.Sockets;
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Exporter;

namespace Runai.GpuMemory.CliTests.Exporter;

sealed class MetricsServerTests
{
    readonly byte[] _text = Encoding.UTF8.GetBytes(MetricsPage.Text(2));
    MetricsServer _server = null!;
    HttpClient _client = null!;
    int _readings;

    [SetUp]
    public void Listen()
    {
        _readings = 0;
        _server = MetricsServer.Start(
            new(IPAddress.Loopback, 0),
            new(() =>
            {
                _readings++;
                return _text;
            })
        );
        _client = new() { BaseAddress = new(_server.Address) };
    }

    [TearDown]
    public void End()
    {
        _client.Dispose();
        _server.Dispose();
    }

    int Port => new Uri(_server.Address).Port;

    [Test]
    public async Task Metrics_are_served_with_one_reading_a_scrape()
    {
        using var answer = await _client.GetAsync("/metrics?x=1");
        Assert.That(await answer.Content.ReadAsByteArrayAsync(), Is.EqualTo(_text));
        Assert.That(
            answer.Content.Headers.ContentType!.ToString(),
            Is.EqualTo("text/plain; version=0.0.4; charset=utf-8")
        );
        await _client.GetStringAsync("/metrics");
        Assert.That(_readings, Is.EqualTo(2));
    }

    [TestCase("GET", "/", 200)]
    [TestCase("HEAD", "/metrics", 200)]
    [TestCase("GET", "/metrics/", 404)]
    [TestCase("GET", "/METRICS", 404)]
    [TestCase("POST", "/metrics", 405)]
    [TestCase("DELETE", "/", 405)]
    public async Task Nothing_else_is_there(string method, string path, int status)
    {
        using var answer = await _client.SendAsync(new(new(method), path));
        Assert.That((int)answer.StatusCode, Is.EqualTo(status));
        Assert.That(_readings, Is.EqualTo(method == "HEAD" ? 1 : 0));
    }

    /// <summary>A page of the web calls it by its own name, which leads to 127.0.0.1 (DNS rebinding).</summary>
    [TestCase("rebound.example", 421)]
    [TestCase("localhost.rebound.example:9401", 421)]
    [TestCase("192.0.2.1", 421)]
    [TestCase("localhost", 200)]
    [TestCase("LocalHost:80", 200)]
    [TestCase("127.0.0.1:9401", 200)]
    [TestCase("[::1]:9401", 200)]
    public async Task On_loopback_it_has_only_names_of_loopback(string host, int status)
    {
        using var call = new HttpRequestMessage(HttpMethod.Get, "/metrics");
        call.Headers.Host = host;
        using var answer = await _client.SendAsync(call);
        Assert.That((int)answer.StatusCode, Is.EqualTo(status));
        Assert.That(_readings, Is.EqualTo(status == 200 ? 1 : 0));
    }

    [Test]
    public async Task Elsewhere_it_has_every_name()
    {
        using var server = MetricsServer.Start(new(IPAddress.Any, 0), new(() => _text));
        using var call = new HttpRequestMessage(
            HttpMethod.Get,
            $"http://127.0.0.1:{new Uri(server.Address).Port}/metrics"
        );
        call.Headers.Host = "gpu1.example";
        using var answer = await _client.SendAsync(call);
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK));
    }

    [Test]
    public async Task Long_heads_are_refused()
    {
        using var head = new HttpRequestMessage(HttpMethod.Get, "/metrics");
        head.Headers.Add("X", new string('x', 10_000));
        using var tooLong = await _client.SendAsync(head);
        Assert.That(tooLong.StatusCode, Is.EqualTo(HttpStatusCode.RequestHeaderFieldsTooLarge));
        Assert.That(_readings, Is.Zero);
    }

    /// <summary>64 are open; those beyond them are closed at once.</summary>
    [Test]
    public void Connections_are_bounded()
    {
        var sockets = new List<Socket>();
        for (var n = 0; n < 70; n++)
        {
            sockets.Add(new(SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = 20_000 });
            sockets[^1].Connect(IPAddress.Loopback, Port);
        }

        int Closed() => sockets.Count(socket => socket.Poll(0, SelectMode.SelectRead));
        Assert.That(Closed, Is.EqualTo(6).After(4_000, 10));
        sockets.ForEach(socket => socket.Dispose());
    }

    [Test]
    public void A_port_in_use_is_said()
    {
        Assert.That(
            () => MetricsServer.Start(new(IPAddress.Loopback, Port), new(() => _text)),
            Throws
                .TypeOf<UserException>()
                .With.Message.EqualTo($"the exporter cannot listen on 127.0.0.1:{Port}: Address already in use")
        );
    }

    [Test]
    public void An_address_of_another_machine_is_said() =>
        Assert.That(
            () => MetricsServer.Start(new(IPAddress.Parse("192.0.2.1"), 9401), new(() => _text)),
            Throws.TypeOf<UserException>().With.Message.StartsWith("the exporter cannot listen on 192.0.2.1:9401: ")
        );
}
