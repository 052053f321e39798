// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Text;

namespace Runai.GpuMemory.ApiBench;

/// <summary>What it costs that people look who has how much of which GPU, while many containers have some.</summary>
static class StatusCost
{
    const int Gpus = 4; // of run.sh
    const int Starters = 4;
    const int Looks = 10;
    const int Scrapes = 100;

    /// <summary>A measurement of the plugin is shown for two seconds.</summary>
    static readonly TimeSpan Stale = TimeSpan.FromSeconds(2.1);

    static readonly byte[] Status = HttpConnection.Request("GET", "/volumes/runai-status");

    /// <summary>Starts the containers and measures.</summary>
    public static Report Measure(Engine engine, Options options)
    {
        engine.Ask(Asked.Ours);
        var clock = Stopwatch.StartNew();
        Start(engine, options.Containers);
        Console.Error.WriteLine(
            $"{options.Containers} containers hold GPU memory after {clock.Elapsed.TotalSeconds:0} s"
        );
        var unseen = Footprint.AtRest(engine);

        var (ps, reads) = (new Samples(), new Samples());
        for (var look = 0; look < Looks; look++)
        {
            Thread.Sleep(Stale);
            ps.Add(Timed(() => engine.Docker("runai", "ps")));
            Thread.Sleep(Stale);
            using var connection = engine.Connect();
            reads.Add(Timed(() => connection.Expect(Status)));
        }
        var scrapes = Scrape();
        var seen = Footprint.AtRest(engine);
        var (alone, watched) = Runs(engine, options);

        var report = new Report("no reader", "a reader every second");
        var of = $"of {options.Containers} containers";
        report.Add($"`docker runai ps` {of}, p50 of {Looks}, ms", [null, ps.P50], "150", 150);
        report.Add("the same, the longest, ms", [null, ps.Quantile(1)]);
        report.Add($"GET /volumes/runai-status {of}, measured again, p50 of {Looks}, ms", [null, reads.P50]);
        report.Add($"a scrape of `runai-docker exporter` {of}, p50 of {Scrapes}, ms", [null, scrapes.P50]);
        report.Add("the same, p99, ms", [null, scrapes.P99], "20", 20);
        report.Add(
            $"docker run of a quota container beside them, p50 of {alone.Count}, ms",
            [alone.P50, watched.P50],
            "no reader + 1",
            alone.P50 + 1
        );
        report.Add("the same, p99, ms", [alone.P99, watched.P99]);
        report.Add("resident, at rest, MB", [unseen, seen], "no reader + 3", unseen + 3);
        return report;
    }

    /// <summary>Containers on all GPUs in turn, each of which allocates a little and keeps it.</summary>
    static void Start(Engine engine, int containers)
    {
        var left = containers;
        var threads = Enumerable
            .Range(0, Starters)
            .Select(_ => new Thread(() =>
            {
                using var connection = engine.Connect();
                while (Interlocked.Decrement(ref left) is var n and >= 0)
                {
                    var id = Engine.Id(connection.Expect(Holder(n)));
                    connection.Expect(HttpConnection.Request("POST", $"/containers/{id}/start"));
                }
            }))
            .ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        Thread.Sleep(TimeSpan.FromSeconds(2)); // until the last have allocated
    }

    static byte[] Holder(int number) =>
        HttpConnection.Request(
            "POST",
            $"/containers/create?name=holder-{number}",
            Encoding.UTF8.GetBytes(
                $$$"""
                {"Image":"{{{Engine.Image}}}","Cmd":["gpu-alloc","--hold","36000","8m"],"Labels":{"gpu-memory":"0.003"},
                 "HostConfig":{"NetworkMode":"none","Binds":["runai:/runai"],
                  "DeviceRequests":[{"DeviceIDs":["{{{number % Gpus}}}"],"Capabilities":[["gpu"]]}]}}
                """
            )
        );

    /// <summary>By one client, of an exporter on this machine.</summary>
    static Samples Scrape()
    {
        var start = new ProcessStartInfo("build/cli/runai-docker", ["exporter", "--listen", "127.0.0.1:0"])
        {
            RedirectStandardOutput = true,
        };
        using var exporter = Process.Start(start)!;
        try
        {
            // "serving http://127.0.0.1:PORT/metrics"
            var address = exporter.StandardOutput.ReadLine()!.Split(' ')[^1];
            using var client = new HttpClient();
            var samples = new Samples();
            for (var scrape = 0; scrape < Scrapes; scrape++)
                samples.Add(Timed(() => client.GetStringAsync(address).GetAwaiter().GetResult()));
            return samples;
        }
        finally
        {
            exporter.Kill();
        }
    }

    /// <summary>In turn, some without a reader of the status and some with one that reads every second.</summary>
    static (Samples Alone, Samples Watched) Runs(Engine engine, Options options)
    {
        var (alone, watched) = (new Samples(), new Samples());
        for (var round = 0; round < options.Rounds; round++)
        {
            Console.Error.WriteLine($"round {round + 1} of {options.Rounds}");
            for (var run = 0; run < options.Runs; run++)
                alone.Add(Delivery.Run(engine, Asked.Ours));
            using var stop = new ManualResetEventSlim();
            var looker = new Thread(() => Look(engine, stop));
            looker.Start();
            for (var run = 0; run < options.Runs; run++)
                watched.Add(Delivery.Run(engine, Asked.Ours));
            stop.Set();
            looker.Join();
        }
        return (alone, watched);
    }

    static void Look(Engine engine, ManualResetEventSlim stop)
    {
        using var connection = engine.Connect();
        do connection.Expect(Status);
        while (!stop.Wait(TimeSpan.FromSeconds(1)));
    }

    static TimeSpan Timed(Action action)
    {
        var started = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(started);
    }
}
