// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.ApiBench;

var options = Options.Parse(args);
var engine = new Engine(options.Engine);
if (options.Only is ["status"])
    return End(StatusCost.Measure(engine, options));
var report = new Report("bare", "allow-all (Go)", "ours");
var routes = new Dictionary<(Asked, Route, int Clients), Samples>();
var runs = Enum.GetValues<Asked>().ToDictionary(asked => asked, _ => new Samples());
int[] clientCounts = [1, 8];

var ready = Footprint.Ready(engine);
Thread.Sleep(2000);
var residentAtStart = Footprint.Resident(engine);

// What `ps` lists.
using (var connection = engine.Connect())
    for (var i = 0; i < 10; i++)
        connection.Expect(Routes.Create);

// In turn, so that whatever else the machine does hits all three alike.
for (var round = 0; round < options.Rounds; round++)
    foreach (var asked in Enum.GetValues<Asked>())
    {
        Console.Error.WriteLine($"round {round + 1} of {options.Rounds}: {asked}");
        engine.Ask(asked);
        if (options.Only.Contains("routes"))
            foreach (var route in Routes.All)
            foreach (var clients in clientCounts)
            {
                if (!routes.TryGetValue((asked, route, clients), out var samples))
                    routes[(asked, route, clients)] = samples = new();
                Routes.Load(engine, route, clients, options.Time, samples);
            }
        for (var run = 0; options.Only.Contains("run") && run < options.Runs; run++)
            runs[asked].Add(Delivery.Run(engine, asked));
    }

foreach (var ((asked, route, clients), samples) in routes.Where(one => one.Key.Item1 == Asked.Ours))
{
    var (bare, allowAll) = (routes[(Asked.Nobody, route, clients)], routes[(Asked.AllowAll, route, clients)]);
    var what = $"{route.Name}, {clients} client{(clients > 1 ? "s" : "")}";
    if (clients == 1)
    {
        report.Add(
            $"{what}, p50 ms",
            [bare.P50, allowAll.P50, samples.P50],
            route.OfConcern ? null : "bare + 0.3",
            route.OfConcern ? double.PositiveInfinity : bare.P50 + 0.3
        );
        report.Add($"{what}, p99 ms", [bare.P99, allowAll.P99, samples.P99]);
        continue;
    }
    report.Add(
        $"{what}, p50 ms",
        [bare.P50, allowAll.P50, samples.P50],
        route.OfConcern ? null : "allow-all",
        route.OfConcern ? double.PositiveInfinity : allowAll.P50
    );
    report.Add(
        $"{what}, p99 ms",
        [bare.P99, allowAll.P99, samples.P99],
        route.OfConcern ? null : "allow-all",
        route.OfConcern ? double.PositiveInfinity : allowAll.P99
    );
}

if (options.Only.Contains("run"))
{
    var (bare, ours) = (runs[Asked.Nobody], runs[Asked.Ours]);
    report.Add(
        $"docker run of a quota container, p50 of {ours.Count}, ms",
        [bare.P50, runs[Asked.AllowAll].P50, ours.P50],
        "bare x 1.10 or + 40",
        Math.Max(bare.P50 * 1.1, bare.P50 + 40)
    );
}
if (options.Only.Contains("quota"))
{
    Console.Error.WriteLine($"{options.Starts} starts at once");
    var delays = new Samples();
    for (var round = 0; round < options.Rounds; round++)
        Delivery.QuotaDelay(engine, options.Starts, delays);
    report.Add(
        $"quota file after the program's begin, {options.Starts} starts at once, p50 ms",
        [null, null, delays.P50]
    );
    report.Add($"the same, p99 of {delays.Count}, ms", [null, null, delays.P99], "50", 50);
}
if (options.Only.Contains("memory"))
{
    report.Add("resident at start, MB", [null, null, residentAtStart], "45", 45);
    Console.Error.WriteLine($"{options.Containers} containers come and go");
    var busy = Footprint.Resident(engine);
    Delivery.Churn(engine, options.Containers / 10);
    var early = Footprint.AtRest(engine);
    Delivery.Churn(engine, options.Containers - options.Containers / 10);
    report.Add("resident just after all of the above, MB", [null, null, busy]);
    report.Add(
        $"resident after {options.Containers / 10} quota containers more, at rest, MB",
        [null, null, early],
        "50",
        50
    );
    report.Add(
        $"resident after {options.Containers}, at rest, MB",
        [null, null, Footprint.AtRest(engine)],
        "50, and 5 more than before",
        Math.Min(50, early + 5)
    );
}
report.Add("plugin's files, MB", [null, null, Footprint.RootFileSystem(options.Plugin)], "25", 25);
report.Add("plugin's begin to ready, ms", [null, null, ready.TotalMilliseconds], "100", 100);
return End(report);

static int End(Report report)
{
    Console.WriteLine(report);
    return report.Misses == 0 ? 0 : 1;
}
