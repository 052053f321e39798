// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
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

    /// <summary>What the simulator itself counts: by GPU, and by container and GPU.</summary>
    (Dictionary<string, long> Gpus, Dictionary<(string Id, string Uuid), long> Containers, int Processes) Simulated()
    {
        var gpus = new Dictionary<string, long>();
        var containers = new Dictionary<(string, string), long>();
        var processes = 0;
        var uuid = "";
        foreach (var line in Shell.Run(Sim("simgpu"), "show", Engine.Gpus).Ok().Split('\n'))
            if (Gpu().Match(line) is { Success: true } gpu)
                gpus[uuid = gpu.Groups[1].Value] = Number(gpu.Groups[2].Value);
            else if (Process().Match(line) is { Success: true } process)
            {
                var group = File.ReadAllText($"/proc/{process.Groups[1].Value}/cgroup");
                var key = (Id().Match(group).Value, uuid);
                containers[key] = containers.GetValueOrDefault(key) + Number(process.Groups[2].Value);
                processes++;
            }
        return (gpus, containers, processes);
    }

    static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);

    [GeneratedRegex("^gpu [0-9]+ (GPU-[^ ]+) .* used ([0-9]+) peak")]
    private static partial Regex Gpu();

    [GeneratedRegex("^ +process ([0-9]+) .* used ([0-9]+)$")]
    private static partial Regex Process();

    [GeneratedRegex("[0-9a-f]{64}")]
    private static partial Regex Id();

    [Test]
    public void The_status_agrees_with_the_driver_within_two_seconds()
    {
        Hold("web", "0", "0.5", "0:1000", "0:500");
        Hold("db", "1", "3g", "0:700", "0:300", "0:100");
        Hold("free", "1,2", null, "0:900", "1:50");
        Hold("both", "2,3", "0.25", "0:200", "1:400");
        Eventually(() => Simulated() is { Processes: 9 } all && all.Containers.Values.Sum() >= 4150 * Mib, "all hold");
        var (gpus, containers, _) = Simulated();
        // What was measured for a test before this one is shown for two seconds.
        var since = DateTimeOffset.UtcNow;
        JsonElement status = default;
        Eventually(
            () => (status = Read("runai-status")).GetProperty("Time").GetDateTimeOffset() >= since,
            "it is measured"
        );
        var now = DateTimeOffset.UtcNow;

        Assert.That(status.GetProperty("Version").GetInt32(), Is.EqualTo(1));
        Assert.That(status.GetProperty("Enforced").GetBoolean());
        Assert.That(
            now - status.GetProperty("Time").GetDateTimeOffset(),
            Is.InRange(TimeSpan.FromSeconds(-1), TimeSpan.FromSeconds(2))
        );
        Assert.That(
            status
                .GetProperty("Gpus")
                .EnumerateArray()
                .ToDictionary(
                    gpu => gpu.GetProperty("Uuid").GetString()!,
                    gpu => gpu.GetProperty("UsedBytes").GetInt64()
                ),
            Is.EquivalentTo(gpus)
        );
        var used =
            from row in Rows(status)
            from gpu in row.GetProperty("Gpus").EnumerateArray()
            select (
                Key: (row.GetProperty("Id").GetString()!, gpu.GetProperty("Uuid").GetString()!),
                Bytes: gpu.GetProperty("UsedBytes").GetInt64()
            );
        Assert.That(used.ToDictionary(one => one.Key, one => one.Bytes), Is.EquivalentTo(containers));
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
        Assert.That(
            summary.GetProperty("Gpus")[1].GetProperty("UsedBytes").GetInt64(),
            Is.EqualTo(gpus.Values.ElementAt(1))
        );
    }

    /// <summary>By the file that the shim writes; the plugin that comes back reads it too.</summary>
    [Test]
    public void Refused_allocations_are_counted()
    {
        Engine
            .Docker(
                "run",
                "-d",
                "--network",
                "none",
                "--gpus",
                "device=1",
                "--name",
                "greedy",
                "-v",
                "runai:/runai",
                "--label",
                "gpu-memory=1g",
                Image,
                "sh",
                "-c",
                "for n in 1 2 3; do gpu-alloc 900m 2g; done; sleep 600"
            )
            .Ok();
        string Refused()
        {
            if (Rows(Read("runai-status")).ToArray() is not [var row])
                return "not one container";
            var gpu = row.GetProperty("Gpus")[0];
            return $"{gpu.GetProperty("Index")} {gpu.GetProperty("Refused")} {gpu.GetProperty("LastRefusedBytes")}";
        }
        Eventually(() => Refused() == $"1 3 {2048 * Mib}", "three of 2 GiB");
        var last = Rows(Read("runai-status")).Single().GetProperty("Gpus")[0].GetProperty("LastRefusedTime");
        Assert.That(DateTimeOffset.UtcNow - last.GetDateTimeOffset(), Is.LessThan(TimeSpan.FromMinutes(1)));
        Engine.KillPlugin();
        Eventually(() => Refused() == $"1 3 {2048 * Mib}", "the same after kill -9 of the plugin");
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
