// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using NUnit.Framework;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Status;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Status;

/// <summary>What readers of <c>runai-status</c> rely on: docs/status.md.</summary>
sealed class StatusReportTests : StatusFixture
{
    static string[] Names(JsonElement report) =>
        [.. report.GetProperty("Containers").EnumerateArray().Select(row => row.GetProperty("Name").GetString()!)];

    static JsonElement Row(JsonElement report, string name) =>
        report.GetProperty("Containers").EnumerateArray().Single(row => row.GetProperty("Name").GetString() == name);

    static string State(JsonElement report, string name) => Row(report, name).GetProperty("State").GetString()!;

    [Test]
    public void Every_key_is_there_and_null_if_unknown()
    {
        Run("web", "0.5", 10, [Gpu0]);
        Driver.Use(Gpu0, 700 * Mib, null, (10, 500 * Mib));
        Assert.That(
            Report().GetRawText(),
            Is.EqualTo(
                """{"Version":1,"Plugin":"VERSION","Shim":null,"Time":"2026-11-30T10:00:00.000Z","Enforced":true,"Policy":{"State":"none","Mode":"enforce","Problem":null,"RequireQuota":false},"Gpus":[{"Index":0,"Uuid":"GPU-11111111-0000","Name":"NVIDIA H200","TotalBytes":150754820096,"AllocatableBytes":150108897280,"PromisedBytes":75054448640,"UsedBytes":734003200,"FreeToPromiseBytes":75054448640,"Containers":1,"State":"shared"},{"Index":1,"Uuid":"GPU-22222222-0000","Name":"NVIDIA GeForce RTX 2080 Ti","TotalBytes":11522801664,"AllocatableBytes":11522801664,"PromisedBytes":0,"UsedBytes":null,"FreeToPromiseBytes":11522801664,"Containers":0,"State":"idle"}],"Containers":[{"Id":"ID","Name":"web","User":null,"Quota":"0.5","State":"ok","StartedAt":"2026-11-30T09:59:00.123Z","Gpus":[{"Uuid":"GPU-11111111-0000","Index":0,"LimitBytes":75054448640,"UsedBytes":524288000,"GpuPercent":null,"Refused":0,"LastRefusedBytes":null,"LastRefusedTime":null}]}],"Cut":false,"Decisions":[],"Checks":["chain","policy","nvml","volume","mps","runtime","buildkit","toolkit","driver","mig","dev-char","space","unlimited","no-gpu","sandbox","static","shim"],"Problems":[]}"""
                    .Replace("VERSION", PluginVersion.Text, StringComparison.Ordinal)
                    .Replace("\"ID\"", $"\"{Id("web")}\"", StringComparison.Ordinal)
            )
        );
    }

    [Test]
    public void Use_is_summed_by_container_and_GPU()
    {
        Run("web", "0.5", 10, [Gpu0, Gpu1]);
        Run("other", "3g", 20, [Gpu0]);
        (Processes.Groups[11], Processes.Groups[12]) = ([Id("web")], []);
        Driver.Use(
            Gpu0,
            1000 * Mib,
            new()
            {
                [10] = 30,
                [11] = 15,
                [12] = 50,
            },
            (10, 100 * Mib),
            (11, 50 * Mib),
            (20, 300 * Mib),
            (12, 9 * Mib)
        );
        Driver.Use(Gpu1, 7 * Mib, null, (11, 7 * Mib));
        var report = Report();
        Assert.That(
            Row(report, "web")
                .GetProperty("Gpus")
                .EnumerateArray()
                .Select(gpu =>
                    (gpu.GetProperty("UsedBytes").GetInt64() / Mib, gpu.GetProperty("GpuPercent").ToString())
                ),
            Is.EqualTo(new[] { (150L, "45"), (7L, "") })
        );
        Assert.That(
            Row(report, "other").GetProperty("Gpus")[0].GetProperty("GpuPercent").GetInt32(),
            Is.Zero,
            "the driver says who was busy"
        );
        Assert.That(
            report.GetProperty("Gpus").EnumerateArray().Select(gpu => gpu.GetProperty("Containers").GetInt32()),
            Is.EqualTo(new[] { 2, 1 })
        );
    }

    [Test]
    public void Containers_with_a_quota_or_a_GPU_are_listed()
    {
        Run("web", null, 10);
        Run("quota", "0.5", 20);
        Run("gpu", null, 30, [Gpu1]);
        Run("borrowed", null, 40);
        Driver.Use(Gpu0, null, null, (40, 5 * Mib));
        var report = Report();
        Assert.That(Names(report), Is.EqualTo(new[] { "borrowed", "gpu", "quota" }));
        Assert.That(
            (State(report, "borrowed"), State(report, "gpu"), State(report, "quota")),
            Is.EqualTo(("unlimited", "unlimited", "ok"))
        );
        Assert.That(Row(report, "borrowed").GetProperty("Gpus")[0].GetProperty("Uuid").GetString(), Is.EqualTo(Gpu0));
    }

    [Test]
    public void States_come_in_their_order()
    {
        Run("over", "1g", 10, [Gpu0]);
        Run("within", "1g", 20, [Gpu0]);
        Run("lost", "1g", 30, [Gpu0]);
        Run("free", null, 40, [Gpu0]);
        Rules.Allowed[30] = true;
        Driver.Use(Gpu0, null, null, (10, 1027 * Mib), (20, 1026 * Mib), (30, 2000 * Mib));
        Assert.That(State(Report(), "lost"), Is.EqualTo("over"));
        Rules.Allowed[30] = false;
        Clock.Advance(VolumeLooks.MaxAge);
        var report = Report();
        Assert.That(
            Names(report).Select(name => (name, State(report, name))),
            Is.EqualTo(new[] { ("free", "unlimited"), ("lost", "no-gpu"), ("over", "over"), ("within", "ok") })
        );
        Assert.That(
            report
                .GetProperty("Problems")
                .EnumerateArray()
                .Select(one => (one.GetProperty("Check").GetString(), one.GetProperty("Container").GetString())),
            Is.EqualTo(new[] { ("unlimited", "free"), ("no-gpu", "lost") })
        );
    }

    [Test]
    public void Without_a_measurement_use_is_unknown()
    {
        Run("web", "0.5", 10, [Gpu0, Gpu1]);
        Driver.Readings.Add(new(Gpu0, 5, null, null));
        Assert.That(
            Row(Report(), "web")
                .GetProperty("Gpus")
                .EnumerateArray()
                .Select(gpu => gpu.GetProperty("UsedBytes").ValueKind),
            Is.All.EqualTo(JsonValueKind.Null)
        );
        Driver.Readings.Clear();
        Driver.Use(Gpu0, 5, null);
        Clock.SetUtcNow(new(2026, 11, 30, 10, 0, 5, TimeSpan.Zero));
        Assert.That(Row(Report(), "web").GetProperty("Gpus")[0].GetProperty("UsedBytes").GetInt64(), Is.Zero);
        Assert.That(
            new MeasuredUse(Clock.GetUtcNow(), Meter.Last!.Gpus, Meter.Last.Shares, Meter.Last.Refusals).Of(
                Id("web"),
                Clock.GetUtcNow().AddSeconds(1),
                Gpu0
            ),
            Is.Null
        );
    }

    [Test]
    public void A_users_status_has_its_containers_and_all_sums()
    {
        Run("hers", "0.5", 10, [Gpu0], "alice");
        Run("his", null, 20, [Gpu0], "bob");
        Run("nobodys", "0.1", 30, [Gpu0]);
        Run("odd", "0.1", 40, [Gpu1], "ümlaut");
        Driver.Use(Gpu0, 10 * Mib, null, (10, 6 * Mib), (20, 4 * Mib));
        var report = Report("alice");
        Assert.That(Names(report), Is.EqualTo(new[] { "hers" }));
        Assert.That(Row(report, "hers").GetProperty("User").GetString(), Is.EqualTo("alice"));
        Assert.That(report.GetProperty("Gpus")[0].GetProperty("Containers").GetInt32(), Is.EqualTo(3));
        Assert.That(report.GetProperty("Gpus")[0].GetProperty("UsedBytes").GetInt64(), Is.EqualTo(10 * Mib));
        Assert.That(report.GetProperty("Problems").GetArrayLength(), Is.Zero, "those of others");
        Assert.That(Names(Report("Alice")), Is.Empty);
        Assert.That(Names(Report(StatusVolume.Spell("ümlaut"))), Is.EqualTo(new[] { "odd" }));
        Assert.That(Report("bob").GetProperty("Problems")[0].GetProperty("Container").GetString(), Is.EqualTo("his"));
        Assert.That(Names(Report()), Has.Length.EqualTo(4));
        Assert.That(Row(Report(), "nobodys").GetProperty("User").ValueKind, Is.EqualTo(JsonValueKind.Null));
    }

    [Test]
    public void Promises_are_counted_with_overcommit()
    {
        Run("half", "0.5", 10, [Gpu1]);
        Run("more", "0.5", 20, [Gpu1]);
        JsonElement Second() => Report().GetProperty("Gpus")[1];
        Assert.That(Second().GetProperty("State").GetString(), Is.EqualTo("full"));
        Assert.That(Second().GetProperty("FreeToPromiseBytes").GetInt64(), Is.Zero);
        Make("""{ "overcommit": 1.5, "mode": "audit", "requireQuota": true }""");
        Assert.That(Second().GetProperty("State").GetString(), Is.EqualTo("shared"));
        Assert.That(Second().GetProperty("FreeToPromiseBytes").GetInt64(), Is.EqualTo(11522801664 / 2));
        Assert.That(
            Report().GetProperty("Policy").GetRawText(),
            Is.EqualTo("""{"State":"loaded","Mode":"audit","Problem":null,"RequireQuota":true}""")
        );
    }

    [Test]
    public void Refused_allocations_that_cannot_be_read_are_not_known()
    {
        Refused.Unread.Add("d1");
        Run("web", "0.5", 10, [Gpu0], directories: ["d1"]);
        Assert.That(
            Row(Report(), "web").GetProperty("Gpus")[0].GetRawText(),
            Does.EndWith(""","Refused":null,"LastRefusedBytes":null,"LastRefusedTime":null}""")
        );
    }

    [Test]
    public void Refused_allocations_are_added_over_a_containers_directories()
    {
        var at = new DateTimeOffset(2026, 11, 30, 9, 59, 30, TimeSpan.Zero);
        Refused.Files["d1"] = new Dictionary<string, Refusals> { [Gpu0] = new(3, 100, at) };
        Refused.Files["d2"] = new Dictionary<string, Refusals>
        {
            [Gpu0] = new(StatusContract.MaxNumber, 200, at.AddSeconds(1)),
        };
        Run("web", "0.5", 10, [Gpu0], directories: ["d1"]);
        Run("two", "0.1", 20, [Gpu0], directories: ["d1", "d2"]);
        var report = Report();
        Assert.That(
            Row(report, "web").GetProperty("Gpus")[0].GetRawText(),
            Does.EndWith(""","Refused":3,"LastRefusedBytes":100,"LastRefusedTime":"2026-11-30T09:59:30.000Z"}""")
        );
        Assert.That(
            Row(report, "two").GetProperty("Gpus")[0].GetRawText(),
            Does.EndWith(
                ""","Refused":9007199254740991,"LastRefusedBytes":200,"LastRefusedTime":"2026-11-30T09:59:31.000Z"}"""
            )
        );
    }

    [Test]
    public void Problems_of_the_host_are_told_with_their_remedy()
    {
        Chain.IsAsked = false;
        Chain.LastProblem =
            "the engine does not ask the plugin, so no limit would hold. As root, see that daemon.json has: it";
        Volumes.Add(new("broken", null) { IsDamaged = true });
        Make("{ \"maxQuota\": 1 }");
        var report = Report();
        Assert.That(report.GetProperty("Enforced").GetBoolean(), Is.False);
        Assert.That(
            report.GetProperty("Problems").EnumerateArray().Select(one => one.GetProperty("Check").GetString()),
            Is.EqualTo(new[] { "chain", "policy", "volume" })
        );
        Assert.That(
            report.GetProperty("Problems")[0].GetRawText(),
            Is.EqualTo(
                """{"Check":"chain","Container":null,"Message":"the engine does not ask the plugin, so no limit would hold","Remedy":"see that daemon.json has: it"}"""
            )
        );
        Assert.That(report.GetProperty("Policy").GetProperty("State").GetString(), Is.EqualTo("invalid"));
        Assert.That(
            report.GetProperty("Policy").GetProperty("Problem").GetString(),
            Does.StartWith("line 1: maxQuota")
        );
    }

    [Test]
    public void Decisions_are_counted_by_verdict_and_rule()
    {
        Decisions.Add(new(true, "quota"));
        Decisions.Add(new(true, "quota"));
        Decisions.Add(new(false, "max-quota"));
        Assert.That(
            Report().GetProperty("Decisions").GetRawText(),
            Is.EqualTo(
                """[{"Verdict":"denied","Rule":"max-quota","Count":1},{"Verdict":"allowed","Rule":"quota","Count":2}]"""
            )
        );
    }

    /// <summary>A <c>docker run</c> waits for who reads the status of its volume.</summary>
    [Test]
    public async Task A_volumes_status_does_not_wait_for_a_slow_driver()
    {
        using var gate = Driver.Gate = new();
        var asking = Reports.SummaryAsync(new("runai", null), measures: true, CancellationToken.None);
        Clock.Advance(StatusReports.MaxSummaryWait);
        using var summary = (await asking).Parse();
        Assert.That(summary.RootElement.GetProperty("Time").ValueKind, Is.EqualTo(JsonValueKind.Null));
        gate.Set();
    }

    [Test]
    public void A_volumes_status_is_small_and_measures_where_it_may()
    {
        Run("web", null, 10, [Gpu0]);
        Driver.Use(Gpu0, 10 * Mib, null, (10, 6 * Mib));
        var summary = Summary();
        Assert.That(Driver.Reads, Is.Zero);
        Assert.That(summary.GetProperty("Gpus")[0].GetProperty("UsedBytes").ValueKind, Is.EqualTo(JsonValueKind.Null));
        Assert.That(
            summary.EnumerateObject().Select(member => member.Name),
            Is.EqualTo(
                new[]
                {
                    "Version",
                    "Plugin",
                    "Shim",
                    "Time",
                    "Enforced",
                    "Policy",
                    "Gpus",
                    "ContainerCount",
                    "ProblemCount",
                }
            )
        );
        Assert.That(
            (summary.GetProperty("ContainerCount").GetInt32(), summary.GetProperty("ProblemCount").GetInt32()),
            Is.EqualTo((1, 1)),
            "a GPU without a quota"
        );
        summary = Summary(new("half", "0.5"), measures: true);
        Assert.That(summary.GetProperty("gpu-memory").GetString(), Is.EqualTo("0.5"));
        Assert.That(summary.GetProperty("Gpus")[0].GetProperty("UsedBytes").GetInt64(), Is.EqualTo(10 * Mib));
        Assert.That(
            Summary().GetProperty("Gpus")[0].GetProperty("UsedBytes").GetInt64(),
            Is.EqualTo(10 * Mib),
            "young"
        );
        Clock.Advance(VolumeLooks.MaxAge);
        Assert.That(Summary().GetProperty("Time").ValueKind, Is.EqualTo(JsonValueKind.Null), "old");
        Assert.That(
            Summary(new("broken", null) { IsDamaged = true }).GetProperty("Problem").GetString(),
            Does.StartWith("the file of the volume broken is damaged")
        );
        Assert.That(Driver.Reads, Is.EqualTo(1));
        Run("more", null, 20, [Gpu0]);
        Assert.That(Summary().GetProperty("ContainerCount").GetInt32(), Is.EqualTo(1), "of a moment ago");
        Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.That(Summary().GetProperty("ContainerCount").GetInt32(), Is.EqualTo(2));
    }

    [Test]
    public void More_containers_than_are_listed_are_cut()
    {
        for (var n = 0; n <= StatusContract.MaxContainers; n++)
            Running.Set(new() { Id = $"{n}".PadLeft(64, '0'), Name = $"/c{n:00000}" }, new(), Parsed.Quota("0.5"), []);
        var report = Report();
        Assert.That(report.GetProperty("Cut").GetBoolean());
        Assert.That(report.GetProperty("Containers").GetArrayLength(), Is.EqualTo(StatusContract.MaxContainers));
    }

    /// <summary>At rest: the list of those that run, and the last measurement.</summary>
    [Test]
    public void Five_hundred_containers_take_little_memory()
    {
        Driver.Use(Gpu0, 1, null, [.. Enumerable.Range(0, 500).Select(n => (n + 1000, n * Mib))]);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        for (var n = 0; n < 500; n++)
            Run($"container-number-{n}", "1m", n + 1000, [Gpu0], "alice", [Id($"{n}")]);
        var report = Report().GetRawText();
        Assert.That(GC.GetTotalMemory(forceFullCollection: true) - before, Is.LessThan(3 << 20));
        Assert.That(report, Has.Length.LessThan(400_000));
    }
}
