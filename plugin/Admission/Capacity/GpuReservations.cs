// SPDX-License-Identifier: Apache-2.0
using System.Collections.Immutable;
using System.Globalization;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission.Capacity;

/// <summary>See <see cref="IGpuReservations"/>. One lock over all entries, which are one a container.</summary>
sealed class GpuReservations(IGpuInventory gpus, OwnerStore owners, TimeProvider time) : IGpuReservations
{
    /// <summary>A start with no outcome after this long is looked at, see <c>OverdueStarts</c>.</summary>
    public static readonly TimeSpan StartTimeout = TimeSpan.FromMinutes(1);
    const int MaxNameLength = 128,
        MaxCalls = 100;

    /// <summary>What one container holds. It does so while it runs, while a start or restart of it is under way, and
    /// while the engine may start it again by itself.</summary>
    sealed record Entry(string Name, string User, GpuMemoryQuota Quota, GpuSelection Selection, bool Restarts)
    {
        public bool Runs { get; init; }

        /// <summary>When the newest run began that is known; the default before one is.</summary>
        public DateTimeOffset RunAt { get; init; }

        /// <summary>It ended, and the engine is about to start it again by itself.</summary>
        public bool IsComing { get; init; }

        /// <summary>When the starts and restarts were allowed that are not answered, the oldest first.</summary>
        public ImmutableArray<DateTimeOffset> Calls { get; init; } = [];

        /// <summary>A time stamp of the last change.</summary>
        public long Since { get; init; }
        public bool IsSettled => Runs && Calls.IsEmpty;

        (IReadOnlyList<GpuDevice> Devices, Dictionary<string, long> Bytes) _counted = ([], []);

        /// <summary>What it holds by the GPU's UUID, on the GPUs as they are known now: that may be later than it began
        /// to hold.</summary>
        public Dictionary<string, long> BytesOn(IReadOnlyList<GpuDevice> devices)
        {
            if (!ReferenceEquals(_counted.Devices, devices))
                _counted = (
                    devices,
                    (VisibleGpus.Of(Selection, devices) ?? devices).ToDictionary(
                        g => g.Uuid,
                        g => Quota.Of(g.AllocatableBytes)
                    )
                );
            return _counted.Bytes;
        }
    }

    readonly Lock _lock = new();
    readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    readonly TaskCompletionSource _rebuilt = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Done when all running containers were counted once.</summary>
    public Task Rebuilt => _rebuilt.Task;

    /// <summary>Judges a start and, when it is allowed, holds what it needs: no other start is judged in
    /// between.</summary>
    public Verdict Decide(ContainerInspect container, ContainerSpec spec, string user, Func<GpuHoldings, Verdict> judge)
    {
        lock (_lock)
        {
            var verdict = judge(HeldExcept(container.Id));
            if (!verdict.IsAllowed)
                return verdict;
            owners.Set(container.Id, user);
            Hold(
                container,
                spec,
                user,
                verdict,
                entry => entry with { Calls = [.. entry.Calls.TakeLast(MaxCalls - 1), time.GetUtcNow()] }
            );
            return verdict;
        }
    }

    /// <summary>An allowed start came to nothing, and the container does not run.</summary>
    public void Failed(string id)
    {
        lock (_lock)
            if (_entries.GetValueOrDefault(id) is { Calls: [.. var others, _] } entry)
                Put(id, entry with { Calls = [.. others] });
    }

    /// <summary>An allowed start was done: the container runs now, or has ended since. Of several that were allowed
    /// together the engine may do all by one run.</summary>
    public void Succeeded(string id)
    {
        lock (_lock)
            if (_entries.GetValueOrDefault(id) is { Calls: [var first, .. var others] } entry)
                // where no run is known since then, its word is yet to come
                Put(id, entry with { Runs = entry.Runs || entry.RunAt < first, Calls = others });
    }

    public void Started(string id, DateTimeOffset at)
    {
        lock (_lock)
            if (_entries.GetValueOrDefault(id) is { } entry && at > entry.RunAt) // else the word appears twice, or late
                Put(id, entry with { Runs = true, RunAt = at, IsComing = false });
    }

    /// <summary>An allowed start came to nothing, because the container runs already.</summary>
    public void RunsAlready(string id)
    {
        lock (_lock)
            if (_entries.GetValueOrDefault(id) is { Calls: [.. var others, _] } entry)
                Put(id, entry with { Runs = true, IsComing = false, Calls = [.. others] });
    }

    public void Running(ContainerInspect container, ContainerSpec spec, Verdict verdict)
    {
        lock (_lock)
            Hold(
                container,
                spec,
                owners.Find(container.Id) ?? "",
                verdict,
                entry =>
                    entry with
                    {
                        Runs = true,
                        IsComing = false,
                        RunAt = Later(entry.RunAt, container.State.StartedAt),
                    }
            );
    }

    public void Ended(string id, bool? restarts, DateTimeOffset at)
    {
        lock (_lock)
            if (_entries.GetValueOrDefault(id) is { } entry && at >= entry.RunAt)
                Put(id, entry with { Runs = false, IsComing = restarts ?? entry.Restarts });
    }

    static DateTimeOffset Later(DateTimeOffset one, string? other) =>
        DateTimeOffset.TryParse(other, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at)
        && at > one
            ? at
            : one;

    /// <summary>Who neither runs nor is about to holds nothing.</summary>
    void Put(string id, Entry entry)
    {
        if (entry.Runs || entry.IsComing || !entry.Calls.IsEmpty)
            _entries[id] = entry with { Since = time.GetTimestamp() };
        else
            _entries.Remove(id);
    }

    public void KeepOnly(IReadOnlySet<string> running, long asOf)
    {
        lock (_lock)
        {
            foreach (var (id, entry) in _entries)
                if (!running.Contains(id) && entry.IsSettled && entry.Since < asOf)
                    _entries.Remove(id);
            owners.KeepOnly(id => running.Contains(id) || _entries.ContainsKey(id));
        }
        _rebuilt.TrySetResult();
    }

    public IReadOnlyList<(string Id, GpuMemoryQuota Quota)> Reserved()
    {
        lock (_lock)
            return [.. _entries.Select(entry => (entry.Key, entry.Value.Quota))];
    }

    /// <summary>Containers that hold something without running, for longer than is usual.</summary>
    public IReadOnlyList<(string Id, string Name)> Overdue()
    {
        lock (_lock)
            return [.. _entries.Where(entry => IsOverdue(entry.Value)).Select(entry => (entry.Key, entry.Value.Name))];
    }

    /// <summary>One of these will not run, or is judged again if it does.</summary>
    public void GiveUp(string id)
    {
        lock (_lock)
            if (_entries.GetValueOrDefault(id) is { } entry && IsOverdue(entry))
                _entries.Remove(id);
    }

    bool IsOverdue(Entry entry) => !entry.IsSettled && time.GetElapsedTime(entry.Since) > StartTimeout;

    /// <summary>The TLS name of who started it last; null for a caller on the unix socket, and if it is not
    /// known.</summary>
    public string? UserOf(string id) => owners.Find(id);

    /// <summary>Who started a container that was not judged before.</summary>
    public void SetUser(string id, string user) => owners.Set(id, user);

    /// <summary>For a container that came to run without being asked about: null where it is counted already, or while
    /// it is unknown which was first.</summary>
    public GpuHoldings? HeldByOthersIfNew(string id)
    {
        lock (_lock)
            return !Rebuilt.IsCompleted || _entries.ContainsKey(id) ? null : HeldExcept(id);
    }

    /// <summary>What all others hold; null while that is unknown.</summary>
    public GpuHoldings? HeldByOthers(string id)
    {
        lock (_lock)
            return Rebuilt.IsCompleted ? HeldExcept(id) : null;
    }

    /// <summary>What all hold; null while that is not known.</summary>
    public GpuHoldings? Held() => HeldByOthers("");

    GpuHoldings HeldExcept(string id)
    {
        var devices = gpus.Devices;
        return new(
            _entries
                .Where(e => e.Key != id)
                .SelectMany(e =>
                    e.Value.BytesOn(devices)
                        .Select(b =>
                            (Uuid: b.Key, Holding: new Holding(e.Value.Name, e.Value.User, e.Value.Quota.Text, b.Value))
                        )
                )
                .GroupBy(h => h.Uuid)
                .ToDictionary(g => g.Key, g => (IReadOnlyList<Holding>)[.. g.Select(h => h.Holding)])
        );
    }

    void Hold(ContainerInspect container, ContainerSpec spec, string user, Verdict verdict, Func<Entry, Entry> change)
    {
        if (spec.Gpu is not { } access || verdict.Quota is not { } quota)
        {
            _entries.Remove(container.Id);
            return;
        }
        var before = _entries.GetValueOrDefault(container.Id);
        var now = new Entry(
            Cut(container.Name.TrimStart('/')),
            user,
            quota,
            access.Selection.Bounded(),
            container.HostConfig.RestartPolicy?.Name is not (null or "" or "no")
        )
        {
            Runs = before?.Runs == true,
            RunAt = before?.RunAt ?? default,
            IsComing = before?.IsComing == true,
            Calls = before?.Calls ?? [],
        };
        Put(container.Id, change(now));
    }

    /// <summary>For messages. The engine has no bound for names.</summary>
    static string Cut(string name) => name.Length <= MaxNameLength ? name : name[..MaxNameLength] + "…";
}
