// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;

namespace Runai.GpuMemory.Engine;

/// <summary>What <c>GET /services/{id}</c> says.</summary>
sealed record ServiceInspect
{
    /// <summary>Null if the engine does not say.</summary>
    public ObjectVersion? Version { get; init; }

    /// <summary>As the engine wrote it, to be judged like a body. Null, or a JSON null, before the first
    /// update.</summary>
    public JsonElement? PreviousSpec { get; init; }
}

/// <summary>Counts the changes of an object of the swarm.</summary>
sealed record ObjectVersion(ulong Index);
