// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text.Json;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>Who has how much of which GPU, on a host with four.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed partial class StatusTests(string version) : EngineFixture(version)
{
    const long Mib = 1 << 20;
    static readonly string[] Now = ["both 0.25 ok", "db 3g ok", "free  unlimited", "web 0.5 ok"],
        Problems = ["unlimited free"],
        Later = ["base", "both", "free"];
    static readonly long[] Limits = [TotalMiB * Mib / 4, TotalMiB * Mib / 4, 3072 * Mib, TotalMiB * Mib / 2],
        Promised = [TotalMiB * Mib / 2, 3072 * Mib, TotalMiB * Mib / 4, TotalMiB * Mib / 4];

    protected override TestEngine Create(string version) => new(version, gpus: 4);

    /// <summary>The status of a volume, as any client reads it.</summary>
    JsonElement Read(string volume)
    {
        using var answer = JsonDocument.Parse(Engine.Docker("volume", "inspect", volume).Ok());
        return answer.RootElement[0].GetProperty("Status").Clone();
    }

    static JsonElement.ArrayEnumerator Rows(JsonElement status) => status.GetProperty("Containers").EnumerateArray();

    /// <summary>A container whose processes hold so many MiB each, as <c>DEVICE:MIB</c>.</summary>
    void Hold(string name, string gpus, string? quota, params string[] processes)
    {
        var script =
            string.Concat(
                processes
                    .Select(process => process.Split(':'))
                    .Select(p => $"gpu-alloc --device {p[0]} --hold 600 {p[1]}m & ")
            ) + "wait";
        string[] limit = quota is null ? [] : ["-v", "runai:/runai", "--label", $"gpu-memory={quota}"];
        Engine
            .Docker([
                "run",
                "-d",
                "--network",
                "none",
                "--name",
                name,
                "--gpus",
                $"\"device={gpus}\"",
                .. limit,
                Image,
                "sh",
                "-c",
                script,
            ])
            .Ok();
    }

    /// <summary>Each row of a table of the wrapper.</summary>
    JsonElement[] Table(params string[] command)
    {
        Engine.InstallCliPlugin("docker-runai", Repository.Wrapper);
        var lines = Engine.Docker(["runai", .. command, "--format", "json"]).Ok();
        return [.. lines.Split('\n').Select(line => JsonDocument.Parse(line).RootElement)];
    }

    /// <summary>A member of each row, whatever its type.</summary>
    static string[] Column(IEnumerable<JsonElement> rows, string name) =>
        [.. rows.Select(row => row.GetProperty(name).ToString())];

    [Test]
    public void The_status_agrees_with_the_driver_within_two_seconds()
    {
        Hold("web", "0", "0.5", "0:1000", "0:500");
        Hold("db", "1", "3g", "0:700", "0:300", "0:100");
        Hold("free", "1,2", null, "0:900", "1:50");
        Hold("both", "2,3", "0.25", "0:200", "1:400");
        var simulated = SimulatedUse.Read(Engine);
        Eventually(() => (simulated = SimulatedUse.Read(Engine)) is { Processes: 9, Sum: >= 4150 * Mib }, "all hold");
        // What was measured for a test before this one is shown for two seconds.
        var since = DateTimeOffset.UtcNow;
        JsonElement status = default;
        Eventually(
            () => (status = Read("runai-status")).GetProperty("Time").GetDateTimeOffset() >= since,
            "it is measured"
        );
        Assert.That(
            DateTimeOffset.UtcNow - status.GetProperty("Time").GetDateTimeOffset(),
            Is.InRange(TimeSpan.FromSeconds(-1), TimeSpan.FromSeconds(2))
        );
        ExpectUse(status, simulated);
        ExpectPromises(status);
        ExpectTables(status, simulated);
        ExpectChanges(simulated.Gpus.Values.ElementAt(1));
    }

    static void ExpectUse(JsonElement status, SimulatedUse simulated)
    {
        Assert.That(status.GetProperty("Version").GetInt32(), Is.EqualTo(1));
        Assert.That(status.GetProperty("Enforced").GetBoolean());
        Assert.That(
            status
                .GetProperty("Gpus")
                .EnumerateArray()
                .ToDictionary(
                    gpu => gpu.GetProperty("Uuid").GetString()!,
                    gpu => gpu.GetProperty("UsedBytes").GetInt64()
                ),
            Is.EquivalentTo(simulated.Gpus)
        );
        var used =
            from row in Rows(status)
            from gpu in row.GetProperty("Gpus").EnumerateArray()
            select (
                Key: (row.GetProperty("Id").GetString()!, gpu.GetProperty("Uuid").GetString()!),
                Bytes: gpu.GetProperty("UsedBytes").GetInt64()
            );
        Assert.That(used.ToDictionary(one => one.Key, one => one.Bytes), Is.EquivalentTo(simulated.Containers));
    }

    static void ExpectPromises(JsonElement status)
    {
        Assert.That(
            Rows(status)
                .Select(row => $"{row.GetProperty("Name")} {row.GetProperty("Quota")} {row.GetProperty("State")}"),
            Is.EqualTo(Now)
        );
        long[] limits =
        [
            .. Rows(status)
                .SelectMany(row => row.GetProperty("Gpus").EnumerateArray())
                .Select(gpu => gpu.GetProperty("LimitBytes"))
                .Where(limit => limit.ValueKind == JsonValueKind.Number)
                .Select(limit => limit.GetInt64()),
        ];
        Assert.That(limits, Is.EqualTo(Limits));
        Assert.That(
            status.GetProperty("Gpus").EnumerateArray().Select(gpu => gpu.GetProperty("PromisedBytes").GetInt64()),
            Is.EqualTo(Promised)
        );
        Assert.That(
            status
                .GetProperty("Problems")
                .EnumerateArray()
                .Select(one => $"{one.GetProperty("Check")} {one.GetProperty("Container")}"),
            Is.EqualTo(Problems)
        );
    }

    /// <summary>The wrapper's tables, and the summary, as <c>runai-status</c> and the simulator have it.</summary>
    void ExpectTables(JsonElement status, SimulatedUse simulated)
    {
        var rows = Table("ps", "--no-trunc");
        Assert.That(
            rows.ToDictionary(
                row => (row.GetProperty("ID").GetString()!, row.GetProperty("UUID").GetString()!),
                row => row.GetProperty("UsedBytes").GetInt64()
            ),
            Is.EquivalentTo(simulated.Containers)
        );
        var shares = Rows(status)
            .SelectMany(row => row.GetProperty("Gpus").EnumerateArray().Select(gpu => (Row: row, Gpu: gpu)))
            .ToArray();
        foreach (var name in (string[])["Name", "State"])
            Assert.That(Column(rows, name), Is.EqualTo(Column(shares.Select(one => one.Row), name)), name);
        foreach (var name in (string[])["LimitBytes", "Refused"])
            Assert.That(Column(rows, name), Is.EqualTo(Column(shares.Select(one => one.Gpu), name)), name);

        var sums = Table("gpus");
        Assert.That(
            sums.ToDictionary(
                gpu => gpu.GetProperty("UUID").GetString()!,
                gpu => gpu.GetProperty("UsedBytes").GetInt64()
            ),
            Is.EquivalentTo(simulated.Gpus)
        );
        var summary = Read("runai").GetProperty("Gpus").EnumerateArray();
        var whole = status.GetProperty("Gpus").EnumerateArray();
        foreach (var name in (string[])["PromisedBytes", "UsedBytes", "FreeToPromiseBytes", "Containers", "State"])
        {
            Assert.That(Column(sums, name), Is.EqualTo(Column(whole, name)), name);
            Assert.That(Column(summary, name), Is.EqualTo(Column(whole, name)), $"{name} of the summary");
        }
    }

    void ExpectChanges(long usedOfSecond)
    {
        Shell.Run(Sim("simgpu"), "set", Engine.Gpus, "--gpu", "1", "--busy", "15").Ok();
        Engine.Docker("rename", "db", "base").Ok();
        Engine.Docker("rm", "-f", "web").Ok();
        Eventually(
            () => Rows(Read("runai-status")).Select(row => row.GetProperty("Name").GetString()).SequenceEqual(Later),
            "the names of now"
        );
        Eventually(
            () =>
                Rows(Read("runai-status")).First().GetProperty("Gpus")[0].GetProperty("GpuPercent").ToString() == "45",
            "three processes with 15 % each"
        );
        Shell.Run(Sim("simgpu"), "set", Engine.Gpus, "--busy", "0").Ok();
        Assert.That(Rows(Read("runai-status.nobody")), Is.Empty);
        var summary = Read("runai");
        Assert.That(summary.GetProperty("ContainerCount").GetInt32(), Is.EqualTo(3));
        Assert.That(summary.GetProperty("Gpus")[1].GetProperty("UsedBytes").GetInt64(), Is.EqualTo(usedOfSecond));
    }

    /// <summary>Refused again and again, by programs that end and by programs that are killed, and says in a file how
    /// often.</summary>
    const string Greedy = """
        until [ -e /tmp/stop ]; do
            gpu-alloc 900m 2g >>/tmp/said
            rm -f /tmp/held
            gpu-alloc --hold 600 900m 2g >/tmp/held &
            until grep -qs 'out of memory' /tmp/held; do sleep 0.05; done
            kill -9 $!
            wait $!
            cat /tmp/held >>/tmp/said
        done
        touch /tmp/stopped
        sleep 600
        """;

    /// <summary>By the file that the shim writes; the plugin that comes back reads it too.</summary>
    [Test]
    public void Refused_allocations_are_counted_exactly_whoever_is_killed()
    {
        string[] greedy = ["--name", "greedy", "-v", "runai:/runai", "--label", "gpu-memory=1g", Image];
        Engine.Docker(["run", "-d", "--network", "none", "--gpus", "device=1", .. greedy, "sh", "-c", Greedy]).Ok();
        JsonElement Gpu() => Rows(Read("runai-status")).Single().GetProperty("Gpus")[0];
        long Refused() => Rows(Read("runai-status")).Any() ? Gpu().GetProperty("Refused").GetInt64() : 0;
        Eventually(() => Refused() >= 3, "some are refused");
        Engine.KillPlugin();
        var before = Refused();
        Eventually(() => Refused() > before, "more are refused");

        Engine.Docker("exec", "greedy", "touch", "/tmp/stop").Ok();
        Eventually(() => Engine.Docker("exec", "greedy", "ls", "/tmp/stopped").Code == 0, "it stops");
        var said = long.Parse(
            Engine.Docker("exec", "greedy", "grep", "-c", "out of memory", "/tmp/said").Ok(),
            CultureInfo.InvariantCulture
        );
        Eventually(() => Refused() == said, () => $"{said} are counted, not {Refused()}");
        Assert.That(
            $"{Gpu().GetProperty("Index")} {Gpu().GetProperty("LastRefusedBytes")}",
            Is.EqualTo($"1 {2048 * Mib}")
        );
        Assert.That(
            DateTimeOffset.UtcNow - Gpu().GetProperty("LastRefusedTime").GetDateTimeOffset(),
            Is.LessThan(TimeSpan.FromMinutes(1))
        );
        Assert.That(Column(Table("ps"), "Refused"), Is.EqualTo([$"{said}"]));
    }

    [Test]
    public void It_is_read_and_not_made_mounted_or_removed()
    {
        const string Words = "runai-status is read, not made, mounted or removed: docker volume inspect runai-status";
        Read("runai-status"); // engines remember a name that they have seen
        Assert.That(Engine.Docker("volume", "create", "runai-status").Error, Does.Contain(Words));
        Assert.That(Engine.Docker("volume", "create", "-d", Plugin, "runai-status").Error, Does.Contain(Words));
        Assert.That(Engine.Docker("volume", "rm", "runai-status").Error, Does.Contain(Words));
        Assert.That(Engine.Docker("volume", "ls", "-q").Ok().Split('\n'), Does.Not.Contain("runai-status"));
        foreach (
            var more in (string[][])
                [
                    [],
                    ["--label", "gpu-memory=0.5"],
                ]
        )
            Assert.That(Engine.Run(["-v", "runai-status:/runai", .. more, Image, "true"]).Error, Does.Contain(Words));
        Assert.That(
            Engine.Docker("create", "--mount", "type=volume,src=runai-status,dst=/x", Image, "true").Error,
            Does.Contain(Words)
        );
        Engine.AskNobody();
        var status = Read("runai-status");
        Assert.That(status.GetProperty("Enforced").GetBoolean(), Is.False);
        Assert.That(status.GetProperty("Problems")[0].GetProperty("Check").GetString(), Is.EqualTo("chain"));
        Assert.That(
            Engine.Docker("run", "--rm", "--network", "none", "-v", "runai-status:/x", Image, "true").Error,
            Does.Contain(Words)
        );
        Engine.Authorize();
        Assert.That(Read("runai-status").GetProperty("Enforced").GetBoolean());
    }

    /// <summary>As many as of a view that is redrawn each second, and a scrape every 15 s, in minutes.</summary>
    [Test]
    public void Two_hundred_reads_leave_nothing_in_the_engines_log()
    {
        var before = Engine.Log.Length;
        for (var n = 0; n < 100; n++)
            foreach (var volume in (string[])["runai-status", "runai"])
                Assert.That(Engine.Raw("GET", $"/volumes/{volume}").Status, Is.EqualTo(200));
        Assert.That(Engine.Log[before..], Does.Not.Contain("volume").And.Not.Contain("runai-status").IgnoreCase);
    }
}
