// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text.RegularExpressions;

namespace Runai.GpuMemory.EngineTests;

/// <summary>What the simulator itself counts, in bytes.</summary>
/// <param name="Gpus">By UUID.</param>
/// <param name="Containers">By ID and UUID.</param>
/// <param name="Processes">How many there are.</param>
sealed partial record SimulatedUse(
    IReadOnlyDictionary<string, long> Gpus,
    IReadOnlyDictionary<(string Id, string Uuid), long> Containers,
    int Processes
)
{
    /// <summary>Of all containers.</summary>
    public long Sum => Containers.Values.Sum();

    /// <summary>As it is now.</summary>
    public static SimulatedUse Read(TestEngine engine)
    {
        var gpus = new Dictionary<string, long>();
        var containers = new Dictionary<(string, string), long>();
        var processes = 0;
        var uuid = "";
        foreach (var line in Shell.Run(TestEngine.Sim("simgpu"), "show", engine.Gpus).Ok().Split('\n'))
            if (Gpu().Match(line) is { Success: true } gpu)
                gpus[uuid = gpu.Groups[1].Value] = Number(gpu.Groups[2].Value);
            else if (Process().Match(line) is { Success: true } process)
            {
                var group = File.ReadAllText($"/proc/{process.Groups[1].Value}/cgroup");
                var key = (Id().Match(group).Value, uuid);
                containers[key] = containers.GetValueOrDefault(key) + Number(process.Groups[2].Value);
                processes++;
            }
        return new(gpus, containers, processes);
    }

    static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);

    [GeneratedRegex("^gpu [0-9]+ (GPU-[^ ]+) .* used ([0-9]+) peak")]
    private static partial Regex Gpu();

    [GeneratedRegex("^ +process ([0-9]+) .* used ([0-9]+)$")]
    private static partial Regex Process();

    [GeneratedRegex("[0-9a-f]{64}")]
    private static partial Regex Id();
}
