// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>What <c>GET /info</c> says and the plugin needs.</summary>
sealed record EngineInfo
{
    /// <summary>The runtime of containers that name none: <c>runc</c>, or the one of daemon.json.</summary>
    public string DefaultRuntime { get; init; } = "";

    /// <summary>The program of each runtime that daemon.json names, by the runtime's name: an absolute path, or what is
    /// looked up.</summary>
    public IReadOnlyDictionary<string, string> Runtimes { get; init; } = new Dictionary<string, string>();

    /// <summary><c>cgroupfs</c> or <c>systemd</c>: who makes the control groups of containers.</summary>
    public string CgroupDriver { get; init; } = "";

    /// <summary><c>28.5.2</c>.</summary>
    public string Version { get; init; } = "";

    /// <summary>The program behind a runtime's name; the name itself where daemon.json has none.</summary>
    public string ProgramOf(string runtime) => Runtimes.GetValueOrDefault(runtime) ?? runtime;
}
