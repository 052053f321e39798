// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>What <c>GET /info</c> says and the plugin needs.</summary>
sealed record EngineInfo
{
    /// <summary>The runtime of containers that name none: <c>runc</c>, or the one of daemon.json.</summary>
    public string DefaultRuntime { get; init; } = "";
}
