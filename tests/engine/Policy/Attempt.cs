// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>A try to get a container running by calls sent to the engine as they are, and what came of it.</summary>
sealed partial record Attempt(RawAnswer Created, RawAnswer? Started, string? Id, string? Breach)
{
    /// <summary>Whether it runs with a simulated GPU, limited or not.</summary>
    public bool SeesGpu { get; init; }

    public bool Runs => Started?.Status is 204 or 304;

    /// <summary>Whether the plugin, and not the engine, said no.</summary>
    public bool IsRefused => IsRefusal(Created) || (Started is { } start && IsRefusal(start));

    public override string ToString() =>
        $"create: {Created}; start: {Started?.ToString() ?? "-"}; breach: {Breach ?? "none"}";

    public static bool IsRefusal(RawAnswer answer) =>
        answer.Status == 403 && answer.Body.Contains($"denied by plugin {TestEngine.Plugin}", StringComparison.Ordinal);

    public static Attempt Make(
        TestEngine engine,
        string body,
        decimal most,
        string target = "/v1.41/containers/create",
        params string[] headers
    ) => Make(engine, Encoding.UTF8.GetBytes(body), most, target, headers);

    /// <summary>Creates alone.</summary>
    public static Attempt Create(TestEngine engine, byte[] body, string target, params string[] headers)
    {
        var created = engine.Raw("POST", target, body, headers);
        return new(created, null, created.Status == 201 ? IdIn(created.Body) : null, null);
    }

    /// <summary>Starts, and checks as <see cref="Make(TestEngine, byte[], decimal, string, string[])"/> does.</summary>
    public Attempt Start(TestEngine engine, decimal most)
    {
        if (Id is not { } id)
            return this;
        var started = engine.Raw("POST", $"/containers/{id}/start");
        if (started.Status is not (204 or 304))
            return this with { Started = started };
        var breach = FindBreach(engine, id, most, out var seesGpu);
        return this with { Started = started, Breach = breach, SeesGpu = seesGpu };
    }

    /// <summary>Creates, starts, checks that it has no more than the part <c>most</c> of a GPU, which is what the
    /// policy grants one container; the container stays.</summary>
    public static Attempt Make(TestEngine engine, byte[] body, decimal most, string target, params string[] headers) =>
        Create(engine, body, target, headers).Start(engine, most);

    public static string? IdIn(string answer)
    {
        using var json = JsonDocument.Parse(answer);
        return json.RootElement.TryGetProperty(nameof(Id), out var id) ? id.GetString() : null;
    }

    /// <summary>What a running container has of GPU memory that no quota of at most <paramref name="most"/> covers;
    /// null when there is nothing, or it does not run.</summary>
    public static string? FindBreach(TestEngine engine, string id, decimal most) => FindBreach(engine, id, most, out _);

    static string? FindBreach(TestEngine engine, string id, decimal most, out bool seesGpu)
    {
        seesGpu = false;
        var inspected = engine.Raw("GET", $"/containers/{id}/json");
        if (inspected.Status != 200)
            return null;
        using var json = JsonDocument.Parse(inspected.Body);
        var pid = json.RootElement.GetProperty("State").GetProperty("Pid").GetInt32();
        if (pid == 0)
            return null;
        var nodes = NodesIn(pid);
        var devices = MountsOf(pid).Count(line => line.Contains(" /run/simgpu/gpu", StringComparison.Ordinal));
        if (nodes.Length == 0 && devices == 0)
            return null;
        seesGpu = devices > 0;

        var seen = $"sees {(nodes.Length > 0 ? nodes.Split('\n')[0] : $"{devices} GPUs")}";
        var labels = json.RootElement.GetProperty("Config").GetProperty("Labels");
        var quota =
            labels.ValueKind == JsonValueKind.Object && labels.TryGetProperty("gpu-memory", out var label)
                ? label.GetString()
                : null;
        if (quota is null)
            return $"{seen} and has no quota";
        var granted =
            decimal.TryParse(quota, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var part)
            && part <= 1
                ? TestEngine.Part(part)
            : quota.EndsWith('g')
            && decimal.TryParse(quota[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out part)
                ? (int)(part * 1024)
            : quota.EndsWith('m')
            && decimal.TryParse(quota[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out part)
                ? (int)part
            : -1;
        if (granted < 0)
            return $"{seen} with a quota of {quota}";
        if (granted > TestEngine.Part(most))
            return $"{seen} with a quota of {quota}, more than {most}";
        if (
            !MountsOf(pid)
                .Any(line =>
                    line.Contains("/state/", StringComparison.Ordinal)
                    || line.Contains("/mounts/", StringComparison.Ordinal)
                )
        )
            return $"{seen} without a private directory";
        if (devices == 0)
            return null;
        return TotalsIn(engine, id).FirstOrDefault(total => total > granted) is var more and > 0
            ? $"{seen}, {more} MiB with a quota of {quota}"
            : null;
    }

    /// <summary>What nvidia-smi in it shows, GPU by GPU; nothing where it refused, ended or is not there. By the API: a
    /// client's process costs more than the rest of an attempt.</summary>
    public static IEnumerable<int> TotalsIn(TestEngine engine, string id)
    {
        var made = engine.Raw(
            "POST",
            $"/containers/{id}/exec",
            Encoding.UTF8.GetBytes(
                $$"""{"AttachStdout":true,"Cmd":["/usr/bin/{{string.Join("\",\"", TestEngine.SmiQuery)}}"]}"""
            )
        );
        if (made.Status != 201)
            return [];
        var shown = engine.Raw("POST", $"/exec/{IdIn(made.Body)}/start", """{"Detach":false}"""u8.ToArray());
        return Figures()
            .Matches(shown.Body)
            .Select(line => int.Parse(line.Groups[1].Value, CultureInfo.InvariantCulture));
    }

    [GeneratedRegex(@"(\d+), \d+\s")]
    private static partial Regex Figures();

    static string[] MountsOf(int pid)
    {
        try
        {
            return File.ReadAllLines($"/proc/{pid}/mountinfo");
        }
        catch (IOException)
        {
            return []; // it ended
        }
    }

    /// <summary>GPU nodes anywhere in the container: major 195 or 226.</summary>
    static string NodesIn(int pid) =>
        Shell
            .Run(
                "sh",
                "-c",
                """
                cd "/proc/$0/root" 2>/dev/null || exit 0
                find . -maxdepth 5 \( -path ./proc -o -path ./sys -o -path ./usr \) -prune -o -type c -exec stat -c '%t %n' {} + 2>/dev/null | grep -E '^(c3|e2) '
                """,
                $"{pid}"
            )
            .Out.Trim();
}
