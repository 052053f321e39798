// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Globalization;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>All containers that run, kept by reconciliation for those who want to know without asking the
/// engine.</summary>
sealed class RunningContainers
{
    /// <summary>Of a name, in bytes. The engine has no bound.</summary>
    const int MaxName = 256;

    readonly ConcurrentDictionary<string, RunningContainer> _all = new(StringComparer.Ordinal);

    /// <summary>In no order. May change while it is read.</summary>
    public IEnumerable<RunningContainer> All => _all.Values;

    /// <summary>The whole IDs, in no order.</summary>
    public IEnumerable<string> Ids => _all.Keys;

    /// <summary>Replaces what was known of the container before.</summary>
    public void Set(
        ContainerInspect container,
        ContainerSpec spec,
        GpuMemoryQuota? quota,
        IReadOnlyList<string> directories
    ) =>
        _all[container.Id] = new(
            container.Id,
            Shorten(container.Name),
            container.State.Pid,
            DateTimeOffset.TryParse(
                container.State.StartedAt,
                CultureInfo.InvariantCulture,
                DateTimeStyles.AssumeUniversal,
                out var at
            )
                ? at
                : null,
            quota,
            spec.Gpu?.Selection.Bounded(),
            directories
        );

    /// <summary>It was renamed.</summary>
    public void Rename(string id, string name)
    {
        while (_all.TryGetValue(id, out var known) && !_all.TryUpdate(id, known with { Name = Shorten(name) }, known))
        { }
    }

    /// <summary>Does nothing for a container that is not known.</summary>
    public void Remove(string id) => _all.TryRemove(id, out _);

    static string Shorten(string name) => Bounded.Text(name.TrimStart('/'), MaxName);
}
