// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>Which libraries of the driver NVIDIA's toolkit puts into a container: <c>compute</c> is CUDA and OpenCL,
/// <c>utility</c> NVML, <c>graphics</c> Vulkan and OpenGL.</summary>
/// <param name="Names">As NVIDIA writes them; some may be unknown.</param>
/// <param name="Source">Where they come from.</param>
sealed record DriverCapabilities(IReadOnlyList<string> Names, CapabilitySource Source)
{
    const string Variable = "NVIDIA_DRIVER_CAPABILITIES";

    /// <summary>All that NVIDIA's toolkit knows: the meaning of <c>all</c>.</summary>
    public static readonly IReadOnlyList<string> Known =
    [
        "compute",
        "utility",
        "graphics",
        "video",
        "display",
        "compat32",
        "ngx",
    ];
    static readonly string[] WithoutWord = ["utility", "compute"];

    /// <summary>The default, until <see cref="GpuAccessFinder"/> sets another value.</summary>
    public static DriverCapabilities None { get; } = new([], CapabilitySource.Environment);

    /// <summary>For a container that gets its GPU by CDI, or past NVIDIA's toolkit.</summary>
    public static DriverCapabilities All { get; } = new(Known, CapabilitySource.Device);

    /// <summary>As the engine and the toolkit merge them: what a request names goes behind the environment, and the
    /// last counts. Of a request's alternatives each counts.</summary>
    public static DriverCapabilities Of(HostConfig host, IReadOnlyDictionary<string, string> env)
    {
        var alternatives = (host.DeviceRequests ?? [])
            .SelectMany(request =>
                request?.Capabilities is { Count: > 0 } lists
                    ? lists
                    :
                    [
                        [],
                    ]
            )
            .Select(list => (list ?? []).Where(Known.Contains).ToArray())
            .ToArray();
        var asked = alternatives.SelectMany(names => names).Distinct().ToArray();
        return asked.Length > 0 && alternatives.All(names => names.Length > 0)
            ? new(asked, CapabilitySource.Request)
            : new([.. asked.Union(OfEnvironment(env))], CapabilitySource.Environment);
    }

    static IEnumerable<string> OfEnvironment(IReadOnlyDictionary<string, string> env)
    {
        if (!env.TryGetValue(Variable, out var text))
            return GpuAccessFinder.IsOldImage(env) ? Known : WithoutWord;
        var names = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (names.Contains("all"))
            return Known;
        return names.Length > 0 ? names : WithoutWord;
    }
}
