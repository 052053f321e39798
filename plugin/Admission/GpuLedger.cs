using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission;

/// <summary>Who holds how much of which GPU. What runs is Docker's to say; in between stand starts that were allowed and are not done yet.</summary>
public interface IGpuLedger
{
    /// <summary>The engine says that it started a container, and when. It may have ended since.</summary>
    void Started(string id, DateTimeOffset at);
    /// <summary>A container runs, however it came to.</summary>
    void Running(ContainerInspect container, Verdict verdict);
    /// <summary>It does not run any more. One that the engine may be about to start again keeps what it holds for a while.</summary>
    /// <param name="id">The container.</param>
    /// <param name="restarts">Whether the engine is about to; null where it does not say: then by the restart policy with which it was started.</param>
    void Ended(string id, bool? restarts);
    /// <summary>Containers with a quota and a GPU, running or about to.</summary>
    IReadOnlyList<(string Id, GpuMemoryQuota Quota)> Held();
    /// <summary>All that run; the others hold nothing, except starts in flight. From the first time on, capacity is known.</summary>
    /// <param name="running">IDs.</param>
    /// <param name="asOf">A time stamp from before they were listed.</param>
    void KeepOnly(IReadOnlySet<string> running, long asOf);
}

sealed class GpuLedger(ContainerSpecs specs, EngineDefaults defaults, IGpuInventory gpus, OwnerStore owners, TimeProvider time) : IGpuLedger
{
    /// <summary>A start that nobody finished or failed in this time is looked at, see <see cref="OverdueStarts"/>.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    enum Phase
    {
        /// <summary>A start or restart was allowed and is not done.</summary>
        Starting,
        Running,
        /// <summary>It ended, and the engine may start it again by itself.</summary>
        Restarting,
    }

    /// <summary>What one container holds, and since when it is in its phase.</summary>
    sealed record Entry(string Name, string User, GpuMemoryQuota Quota, GpuSelection Selection, bool Restarts, Phase Phase, long Since)
    {
        /// <summary>Whether it runs while a start or restart is under way.</summary>
        public bool Runs { get; init; }
        /// <summary>Starts and restarts that were allowed and are not done; one of them may fail at once while another has yet to begin.</summary>
        public int Calls { get; init; }
        /// <summary>When the last of them was allowed.</summary>
        public DateTimeOffset AllowedAt { get; init; }

        (IReadOnlyList<GpuDevice> Devices, Dictionary<string, long> Bytes) _counted = ([], []);

        /// <summary>What it holds by the GPU's UUID, on the GPUs as they are known now: that may be later than it began to hold.</summary>
        public Dictionary<string, long> BytesOn(IReadOnlyList<GpuDevice> devices)
        {
            if (!ReferenceEquals(_counted.Devices, devices))
                _counted = (devices, (VisibleGpus.Of(Selection, devices) ?? devices).ToDictionary(g => g.Uuid, g => Quota.Of(g.AllocatableBytes)));
            return _counted.Bytes;
        }
    }

    readonly Lock _lock = new();
    readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    readonly TaskCompletionSource _rebuilt = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Done when all running containers were counted once.</summary>
    public Task Rebuilt => _rebuilt.Task;

    /// <summary>Judges a start and, when it is allowed, holds what it needs: nobody else is judged in between.</summary>
    public Verdict Decide(ContainerInspect container, ContainerSpec spec, string user, Func<GpuHoldings, Verdict> judge)
    {
        lock (_lock)
        {
            var verdict = judge(HoldingsWithout(container.Id));
            if (!verdict.Allow)
                return verdict;
            owners.Set(container.Id, user);
            Hold(container, spec, user, verdict, Phase.Starting);
            return verdict;
        }
    }

    /// <summary>An allowed start came to nothing, and the container does not run.</summary>
    public void Failed(string id)
    {
        lock (_lock)
            if (_entries.GetValueOrDefault(id) is { Phase: Phase.Starting } entry)
            {
                if (entry.Calls > 1)
                    _entries[id] = entry with { Calls = entry.Calls - 1 };
                else
                    _entries.Remove(id);
            }
    }

    public void Started(string id, DateTimeOffset at)
    {
        lock (_lock)
            if (_entries.GetValueOrDefault(id) is { Phase: Phase.Starting } entry && at >= entry.AllowedAt) // else the word of a run before comes late
                _entries[id] = entry with { Phase = Phase.Running, Runs = true, Since = time.GetTimestamp() };
    }

    /// <summary>An allowed start came to nothing, because the container runs already. Of one that is only about to, the engine says it yet.</summary>
    public void RunsAlready(string id)
    {
        lock (_lock)
            if (_entries.GetValueOrDefault(id) is { Phase: Phase.Starting, Runs: true } entry)
                _entries[id] = entry with { Phase = Phase.Running, Since = time.GetTimestamp() };
    }

    public void Running(ContainerInspect container, Verdict verdict)
    {
        lock (_lock)
            Hold(container, specs.FromInspect(container, defaults.Runtime), owners.Find(container.Id) ?? "", verdict, Phase.Running);
    }

    public void Ended(string id, bool? restarts)
    {
        lock (_lock)
        {
            if (_entries.GetValueOrDefault(id) is not { } entry)
                return;
            if (entry.Phase == Phase.Starting) // the end that a restart begins with, or that of a run before
                _entries[id] = entry with { Runs = false };
            else if (restarts ?? entry.Restarts)
                _entries[id] = entry with { Phase = Phase.Restarting, Runs = false, Since = time.GetTimestamp() };
            else
                _entries.Remove(id);
        }
    }

    public void KeepOnly(IReadOnlySet<string> running, long asOf)
    {
        lock (_lock)
        {
            foreach (var (id, entry) in _entries)
                if (!running.Contains(id) && entry.Phase == Phase.Running && entry.Since < asOf)
                    _entries.Remove(id);
            owners.KeepOnly(id => running.Contains(id) || _entries.ContainsKey(id));
        }
        _rebuilt.TrySetResult();
    }

    public IReadOnlyList<(string Id, GpuMemoryQuota Quota)> Held()
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

    bool IsOverdue(Entry entry) => entry.Phase != Phase.Running && time.GetElapsedTime(entry.Since) > Patience;

    public string? UserOf(string id) => owners.Find(id);

    /// <summary>Who started a container that was not judged before.</summary>
    public void SetUser(string id, string user) => owners.Set(id, user);

    /// <summary>For a container that came to run without being asked about: null where it is counted already, or while nobody knows who was first.</summary>
    public GpuHoldings? HoldingsForNewcomer(string id)
    {
        lock (_lock)
            return !Rebuilt.IsCompleted || _entries.ContainsKey(id) ? null : HoldingsWithout(id);
    }

    /// <summary>What all others hold; null while nobody knows.</summary>
    public GpuHoldings? HoldingsBeside(string id)
    {
        lock (_lock)
            return Rebuilt.IsCompleted ? HoldingsWithout(id) : null;
    }

    GpuHoldings HoldingsWithout(string id)
    {
        var devices = gpus.Devices;
        return new(_entries.Where(e => e.Key != id)
            .SelectMany(e => e.Value.BytesOn(devices).Select(b => (Uuid: b.Key, Holding: new Holding(e.Value.Name, e.Value.User, e.Value.Quota.Text, b.Value))))
            .GroupBy(h => h.Uuid)
            .ToDictionary(g => g.Key, g => (IReadOnlyList<Holding>)[.. g.Select(h => h.Holding)]));
    }

    void Hold(ContainerInspect container, ContainerSpec spec, string user, Verdict verdict, Phase phase)
    {
        if (spec.Gpu is not { } access || verdict.Quota is null || !GpuMemoryQuota.TryParse(verdict.Quota, out var quota, out _))
        {
            _entries.Remove(container.Id);
            return;
        }
        var before = _entries.GetValueOrDefault(container.Id);
        _entries[container.Id] = new(container.Name.TrimStart('/'), user, quota, access.Selection,
            container.HostConfig.RestartPolicy?.Name is not (null or "" or "no"), phase, time.GetTimestamp())
        {
            Runs = phase == Phase.Running || before?.Runs == true,
            Calls = (before is { Phase: Phase.Starting } ? before.Calls : 0) + (phase == Phase.Starting ? 1 : 0),
            AllowedAt = time.GetUtcNow(),
        };
    }
}
