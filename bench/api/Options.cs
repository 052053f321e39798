// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.ApiBench;

/// <summary>What run.sh passes on.</summary>
sealed record Options
{
    /// <summary>The private engine's folder.</summary>
    public required string Engine { get; init; }

    /// <summary>The managed plugin's folder: config.json and rootfs.</summary>
    public required string Plugin { get; init; }

    /// <summary>How often the three take their turns.</summary>
    public int Rounds { get; init; } = 3;

    /// <summary>How long one route is called by so many clients in a round.</summary>
    public TimeSpan Time { get; init; } = TimeSpan.FromSeconds(0.5);

    /// <summary><c>docker run</c> in a round.</summary>
    public int Runs { get; init; } = 5;
    public int Starts { get; init; } = 50;

    /// <summary>That come and go before the plugin's memory is looked at again; that run while the status is
    /// read.</summary>
    public int Containers { get; init; } = 500;

    /// <summary>Parts to measure: routes, run, quota, memory; or status alone.</summary>
    public IReadOnlyList<string> Only { get; init; } = ["routes", "run", "quota", "memory"];

    public static Options Parse(string[] arguments)
    {
        var given = arguments.Chunk(2).ToDictionary(pair => pair[0], pair => pair[1]);
        var defaults = new Options { Engine = given["--engine-folder"], Plugin = given["--plugin"] };
        var only = given.TryGetValue("--only", out var parts) ? parts.Split(',') : defaults.Only;
        // A millisecond of the time of a `docker run` needs many of them.
        if (only is ["status"])
            defaults = defaults with { Rounds = 10, Runs = 20 };
        return defaults with
        {
            Rounds = Number("--rounds", defaults.Rounds),
            Time = TimeSpan.FromMilliseconds(Number("--ms", (int)defaults.Time.TotalMilliseconds)),
            Runs = Number("--runs", defaults.Runs),
            Starts = Number("--starts", defaults.Starts),
            Containers = Number("--containers", defaults.Containers),
            Only = only,
        };
        int Number(string name, int otherwise) =>
            given.TryGetValue(name, out var text) ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
    }
}
