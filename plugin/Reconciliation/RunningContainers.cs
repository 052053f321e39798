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
        IReadOnlyList<string> directories,
        string? unreached = null
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
        )
        {
            Runtime = Bounded.Text(container.HostConfig.Runtime ?? "", MaxName),
            Unreached = unreached,
        };

    /// <summary>It was renamed.</summary>
    public void Rename(string id, string name) => Change(id, known => known with { Name = Shorten(name) });

    /// <summary>Its programs were looked at, see <see cref="ProgramsSeen"/>.</summary>
    public void Saw(string id, int pid, string? unreached) =>
        Change(id, known => known.Pid == pid ? known with { Unreached = unreached } : known);

    void Change(string id, Func<RunningContainer, RunningContainer> change)
    {
        while (_all.TryGetValue(id, out var known) && !_all.TryUpdate(id, change(known), known)) { }
    }

    /// <summary>Does nothing for a container that is not known.</summary>
    public void Remove(string id) => _all.TryRemove(id, out _);

    static string Shorten(string name) => Bounded.Text(name.TrimStart('/'), MaxName);
}
