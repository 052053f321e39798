// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Text;

namespace Runai.GpuMemory.ApiBench;

/// <summary>One API call to measure.</summary>
/// <param name="Name">As the table shows it.</param>
/// <param name="OfConcern">Whether the plugin has something to decide about it.</param>
/// <param name="Prepare">Makes what the call needs, unmeasured; the request to send.</param>
/// <param name="CleanUp">Takes away what it made, unmeasured.</param>
sealed record Route(
    string Name,
    bool OfConcern,
    Func<HttpConnection, byte[]> Prepare,
    Action<HttpConnection, ReadOnlyMemory<byte>> CleanUp
);

/// <summary>The calls, none of which has to do with a quota: what everybody pays who shares the engine.</summary>
static class Routes
{
    const int BigBody = 900_000;
    static readonly byte[] Ping = HttpConnection.Request("GET", "/_ping");
    static readonly byte[] List = HttpConnection.Request("GET", "/containers/json?all=1");
    public static byte[] Create { get; } = CreateRequest(0);
    static readonly byte[] BigCreate = CreateRequest(BigBody);

    public static IReadOnlyList<Route> All { get; } =
    [
        new("ping", false, _ => Ping, (_, _) => { }),
        new("ps", false, _ => List, (_, _) => { }),
        new("container create", true, _ => Create, (connection, created) => Remove(connection, Engine.Id(created))),
        new("create of 900 kB", true, _ => BigCreate, (connection, created) => Remove(connection, Engine.Id(created))),
        Start(),
    ];

    static Route Start()
    {
        var ids = new ThreadLocal<string>();
        return new(
            "container start",
            true,
            connection =>
            {
                ids.Value = Engine.Id(connection.Expect(Create));
                return HttpConnection.Request("POST", $"/containers/{ids.Value}/start");
            },
            (connection, _) => Remove(connection, ids.Value!)
        );
    }

    /// <summary>Clients that call without pause for a while, each on a connection of its own.</summary>
    public static void Load(Engine engine, Route route, int clients, TimeSpan time, Samples samples)
    {
        using var ready = new Barrier(clients);
        var threads = Enumerable
            .Range(0, clients)
            .Select(_ => new Thread(() =>
            {
                using var connection = engine.Connect();
                // The first calls make the connections between engine and plugin.
                One(route, connection);
                ready.SignalAndWait();
                var clock = Stopwatch.StartNew();
                do samples.Add(One(route, connection));
                while (clock.Elapsed < time);
            }))
            .ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
    }

    static TimeSpan One(Route route, HttpConnection connection)
    {
        var request = route.Prepare(connection);
        var started = Stopwatch.GetTimestamp();
        var answer = connection.Expect(request);
        var time = Stopwatch.GetElapsedTime(started);
        route.CleanUp(connection, answer);
        return time;
    }

    /// <summary>A body as <c>docker run</c> would send it, in short; blown up by labels, none longer than a text may
    /// be.</summary>
    static byte[] CreateRequest(int bytes)
    {
        const int Longest = 100_000;
        var labels = Enumerable
            .Range(0, bytes / Longest)
            .Select(label => $"\"text{label}\":\"{new string('x', Longest)}\"");
        return HttpConnection.Request(
            "POST",
            "/containers/create",
            Encoding.UTF8.GetBytes(
                $$$"""
                {"Image":"{{{Engine.Image}}}","Cmd":["true"],"Env":["A=b"],"Labels":{ {{{string.Join(',', labels)}}} },
                 "HostConfig":{"NetworkMode":"none"}}
                """
            )
        );
    }

    public static void Remove(HttpConnection connection, string id) =>
        connection.Expect(HttpConnection.Request("DELETE", $"/containers/{id}?force=1"));
}
