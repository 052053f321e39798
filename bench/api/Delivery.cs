// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Runai.GpuMemory.ApiBench;

/// <summary>What quota containers cost and how soon they have their quota.</summary>
static class Delivery
{
    /// <summary><c>docker run --rm … true</c> from start to exit. Without our plugin the volume is one of Docker's
    /// own.</summary>
    public static TimeSpan Run(Engine engine, Asked asked)
    {
        var volume = asked == Asked.Ours ? "runai" : "plain";
        var started = Stopwatch.GetTimestamp();
        engine.Docker(
            "run",
            "--rm",
            "--network",
            "none",
            "--gpus",
            "1",
            "-v",
            $"{volume}:/runai",
            "--label",
            "gpu-memory=0.5",
            Engine.Image,
            "true"
        );
        return Stopwatch.GetElapsedTime(started);
    }

    /// <summary>Starts containers at once and asks each how long it waited for its quota file.</summary>
    public static void QuotaDelay(Engine engine, int containers, Samples samples)
    {
        var create = QuotaContainer("\"quota-wait\",\"/runai\"");
        var ids = new string[containers];
        using (var connection = engine.Connect())
            for (var i = 0; i < containers; i++)
                ids[i] = Engine.Id(connection.Expect(create));
        var threads = ids.Select(id => new Thread(() =>
            {
                using var connection = engine.Connect();
                connection.Expect(HttpConnection.Request("POST", $"/containers/{id}/start"));
                connection.Expect(HttpConnection.Request("POST", $"/containers/{id}/wait"));
                // Eight bytes of frame before the text.
                var log = connection.Expect(HttpConnection.Request("GET", $"/containers/{id}/logs?stdout=1")).Span;
                if (log.Length <= 8)
                    throw new InvalidOperationException($"container {id} said nothing");
                samples.Add(
                    long.Parse(Encoding.ASCII.GetString(log[8..]).Trim(), CultureInfo.InvariantCulture) / 1000.0
                );
                Routes.Remove(connection, id);
            }))
            .ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
    }

    /// <summary>Quota containers that come and go, eight at a time.</summary>
    public static void Churn(Engine engine, int containers)
    {
        var create = QuotaContainer("\"true\"");
        var left = containers;
        var threads = Enumerable
            .Range(0, 8)
            .Select(_ => new Thread(() =>
            {
                using var connection = engine.Connect();
                while (Interlocked.Decrement(ref left) >= 0)
                    Routes.Remove(connection, Engine.Id(connection.Expect(create)));
            }))
            .ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
    }

    static byte[] QuotaContainer(string command) =>
        HttpConnection.Request(
            "POST",
            "/containers/create",
            Encoding.UTF8.GetBytes(
                $$$"""{"Image":"{{{Engine.Image}}}","Cmd":[{{{command}}}],"Labels":{"gpu-memory":"0.01"},"HostConfig":{"NetworkMode":"none","Binds":["runai:/runai"]}}"""
            )
        );
}
