// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Preload;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Reconciliation;

/// <summary>An engine in memory: containers that the test starts and ends, events to whoever watches, and
/// outages.</summary>
sealed class FakeDocker : IEngineClient
{
    public Task<IReadOnlyList<string>> ListByPrefixAsync(string id, CancellationToken cancel) =>
        throw new NotSupportedException();

    public Task<IReadOnlyList<string>> ListCreatedAsync(CancellationToken cancel) => throw new NotSupportedException();

    public Task<ContainerInspect?> GlanceAtContainerAsync(string id, CancellationToken cancel) =>
        throw new NotSupportedException();

    public Task<IReadOnlyList<string>?> VolumeHostPathsAsync(string name, CancellationToken cancel) =>
        throw new NotSupportedException();

    public Task<ExecInspect?> InspectExecAsync(string execId, CancellationToken cancel) =>
        throw new NotSupportedException();

    readonly ConcurrentDictionary<string, ContainerInspect> _containers = new();
    readonly List<Channel<EngineEvent>> _watchers = [];
    int _inspects,
        _pings;

    public bool Down { get; set; }

    /// <summary>So many inspects fail before one succeeds.</summary>
    public int FailingInspects { get; set; }

    /// <summary>Containers that cannot be inspected.</summary>
    public ConcurrentDictionary<string, EngineException> Unreadable { get; } = [];

    /// <summary>Runs at each inspect, with its number.</summary>
    public Action<int>? OnInspect { get; set; }
    public int Inspects => _inspects;
    public ConcurrentQueue<string> Stopped { get; } = [];
    public int Watchers
    {
        get
        {
            lock (_watchers)
                return _watchers.Count;
        }
    }
    public string? PluginName { get; set; } = "lab/gpu:v1";

    public void Put(ContainerInspect container) => _containers[container.Id] = container;

    public void Start(ContainerInspect container)
    {
        Put(container);
        Say("start", container.Id);
    }

    public void Die(string id)
    {
        _containers.TryRemove(id, out _);
        Say("die", id);
    }

    public void Say(string action, string id, params IEnumerable<string> labels) =>
        Say(action, new EventActor { Id = id, Attributes = labels.ToDictionary(label => label, _ => "") });

    public void Rename(string id, string name) =>
        Say(
            "rename",
            new EventActor
            {
                Id = id,
                Attributes = new Dictionary<string, string> { ["name"] = name },
            }
        );

    void Say(string action, EventActor actor)
    {
        lock (_watchers)
            foreach (var watcher in _watchers)
                watcher.Writer.TryWrite(
                    new EngineEvent
                    {
                        Type = "container",
                        Action = action,
                        Actor = actor,
                    }
                );
    }

    /// <summary>All connections end, new ones are refused until <see cref="Down"/> is false again.</summary>
    public void GoDown()
    {
        Down = true;
        lock (_watchers)
        {
            foreach (var watcher in _watchers)
                watcher.Writer.Complete(new EngineException("cut"));
            _watchers.Clear();
        }
    }

    public Task<ContainerInspect?> InspectContainerAsync(string id, CancellationToken cancel)
    {
        Check();
        OnInspect?.Invoke(Interlocked.Increment(ref _inspects));
        if (FailingInspects-- > 0)
            throw new EngineException("busy", 500);
        if (Unreadable.TryGetValue(id, out var failure))
            throw failure;
        return Task.FromResult(_containers.GetValueOrDefault(id));
    }

    public Task<IReadOnlyList<string>> ListRunningAsync(CancellationToken cancel)
    {
        Check();
        return Task.FromResult<IReadOnlyList<string>>([
            .. _containers.Values.Where(one => one.State.Running).Select(one => one.Id),
        ]);
    }

    public Task<IAsyncEnumerable<EngineEvent>> WatchContainersAsync(CancellationToken cancel)
    {
        Check();
        var channel = Channel.CreateUnbounded<EngineEvent>();
        lock (_watchers)
            _watchers.Add(channel);
        return Task.FromResult(channel.Reader.ReadAllAsync(cancel));
    }

    public IReadOnlyList<LostSource> LostSources { get; set; } = [];

    public Task<IReadOnlyList<LostSource>> LostSourcesAsync(string pluginId, CancellationToken cancel) =>
        Task.FromResult(LostSources);

    public Task<string?> PluginNameAsync(string pluginId, CancellationToken cancel) => Task.FromResult(PluginName);

    public Task<string?> VolumeDriverAsync(string name, CancellationToken cancel) => throw new NotSupportedException();

    public Task<string?> NetworkNameAsync(string network, CancellationToken cancel) =>
        throw new NotSupportedException();

    public Task<PreviousService?> PreviousServiceAsync(string service, CancellationToken cancel) =>
        throw new NotSupportedException();

    /// <summary>What happens to a ping before it is answered with <see cref="PingStatus"/>.</summary>
    public Action<string>? OnPing { get; set; }
    public int? PingStatus { get; set; }
    public int Pings => _pings;

    public Task<int?> PingAsync(string target, TimeSpan limit, CancellationToken cancel)
    {
        OnPing?.Invoke(target);
        Interlocked.Increment(ref _pings);
        return Task.FromResult(PingStatus);
    }

    public Task<EngineInfo> InfoAsync(CancellationToken cancel) => Task.FromResult(new EngineInfo());

    public Task<ImageInspect?> InspectImageAsync(string name, CancellationToken cancel) =>
        Task.FromResult<ImageInspect?>(null);

    public Task<byte[]?> GetArchiveAsync(string id, string path, int maxBytes, CancellationToken cancel) =>
        throw new NotSupportedException();

    public Task<PathStat?> StatAsync(string id, string path, CancellationToken cancel) =>
        throw new NotSupportedException();

    public Task PutArchiveAsync(string id, string directory, ReadOnlyMemory<byte> tar, CancellationToken cancel) =>
        throw new NotSupportedException();

    public Task RemoveContainerAsync(string id, CancellationToken cancel) => Task.CompletedTask;

    public Task StopContainerAsync(string id, TimeSpan grace, CancellationToken cancel)
    {
        Stopped.Enqueue(grace == TimeSpan.Zero ? $"{id} at once" : id);
        Die(id);
        return Task.CompletedTask;
    }

    void Check()
    {
        if (Down)
            throw new EngineException("no such socket");
    }
}

/// <summary>What the kernel would say: which directories which process has mounted.</summary>
sealed class FakeMounts(string state) : IMountTable, IProcessCgroups
{
    readonly ConcurrentDictionary<int, List<MountEntry>> _tables = new();

    public void Set(int pid, params string[] roots) =>
        _tables[pid] = [
            new("0:50", "/", "/", null, 1),
            .. roots.SelectMany(
                (root, n) =>
                    (MountEntry[])
                        [
                            new(
                                "8:1",
                                $"/docker/plugins/{new string('1', 64)}/propagated-mount/state/{root}",
                                $"/at{n}",
                                null,
                                n + 2,
                                1
                            ),
                            new("0:60", "/", $"/at{n}/usage", null, n + 102, n + 2),
                        ]
            ),
        ];

    public void Change(int pid, Func<MountEntry, MountEntry?> change) =>
        _tables[pid] = [.. _tables[pid].Select(change).OfType<MountEntry>()];

    /// <summary>More mounts of a process, by ID, parent and target. What was set has the IDs 1, 2…, the first being the
    /// root.</summary>
    public void Add(int pid, params (int Id, int Parent, string Target)[] more) =>
        _tables[pid].AddRange(more.Select(m => new MountEntry("0:99", "/", m.Target, null, m.Id, m.Parent)));

    public void Put(int pid, params MountEntry[] more) => _tables[pid].AddRange(more);

    /// <summary>As of a list that was too long to be kept.</summary>
    public void Cut(int pid) => _tables[pid].Add(MountEntry.More);

    /// <summary>Of a process that lives the list cannot be read.</summary>
    public void Hide(int pid) => _tables[pid] = [MountEntry.Unreadable];

    /// <summary>The containers in whose control groups a process is.</summary>
    public Dictionary<int, string[]> Groups { get; } = [];

    public IReadOnlyList<string> ContainersOf(int pid) => Groups.GetValueOrDefault(pid) ?? [];

    public void End(int pid) => _tables.TryRemove(pid, out _);

    public IEnumerable<MountEntry> Own() =>
        [new("0:1", "/", "/"), new("8:1", $"/docker/plugins/{new string('1', 64)}/propagated-mount", state)];

    public IReadOnlyList<MountEntry> OfProcess(int pid) => _tables.TryGetValue(pid, out var table) ? table : [];

    public IEnumerable<MountEntry> OneByOne(int pid) => OfProcess(pid);

    public bool IsInContainer(int pid, string container) => false;

    public IEnumerable<(int Pid, IEnumerable<MountEntry> Mounts)> All() =>
        _tables.Select(table => (table.Key, table.Value.AsEnumerable()));
}

/// <summary>The label is the quota, else the policy's default; <c>bad</c> is refused, and so is a container called
/// <c>/outlaw</c> that has a fine one; <c>/desperado</c> is to be stopped.</summary>
sealed class FakeJudge(PolicySource policy) : IContainerJudge
{
    /// <summary>Runs when a verdict is made, before it is answered.</summary>
    public Action? OnJudged { get; set; }

    public ContainerSpec Describe(ContainerInspect container) => new() { Image = container.Config.Image };

    public (ContainerSpec Spec, Verdict Verdict) Judge(
        ContainerInspect container,
        Requester requester,
        Observed? observed
    )
    {
        var verdict = Find(container, requester, observed);
        OnJudged?.Invoke();
        return (Describe(container), verdict);
    }

    public Verdict JudgeUnreadable(string problem) =>
        Verdict.Refused("container-unreadable", problem) with
        {
            StopsViolation = policy.Current.StopsViolations,
        };

    static readonly GpuMemoryQuota? Half = Parsed.Quota("0.5");

    Verdict Find(ContainerInspect container, Requester requester, Observed? observed)
    {
        if (requester != Requester.Engine)
            throw new InvalidOperationException("asked for somebody else");
        if (container.Name == "/bug")
            throw new InvalidOperationException("a bug in the judgement");
        if (observed?.IsCut == true)
            return new([new("volume-covered", "too many mounts")], Half, "--gpus") { KillsNow = true };
        if (observed?.Shadowings is [var covering, ..])
            return new([new("volume-covered", $"{covering.By} covers {covering.Hidden}")], Half, "--gpus")
            {
                KillsNow = true,
            };
        if (observed?.IsUnreadable == true)
            return new([new("volume-gone", "unreadable")], Half, "--gpus")
            {
                StopsViolation = container.Name == "/greedy",
            };
        if (observed?.Missing is { } missing)
            return new([new("volume-gone", missing)], Half, "--gpus") { StopsViolation = container.Name == "/greedy" };
        if (observed?.WithoutShim is { } program)
            return new([new("preload-missing", program)], Half, "--gpus")
            {
                StopsViolation = container.Name == "/greedy",
            };
        if (observed?.Excesses is [var excess, ..])
            return new(
                [new("quota-exceeded", $"{excess.Used} of {excess.Gpu.Uuid} are more than {excess.Limit}")],
                Half,
                "--gpus"
            )
            {
                StopsViolation = container.Name == "/greedy",
            };
        var quota =
            container.Config.Labels?.GetValueOrDefault("gpu-memory") ?? policy.Current.Limits.DefaultQuota?.Text;
        if (policy.Current.Limits.MaxQuota is { } max && quota != max.Text)
            return new([new("max-quota", $"{quota} is not {max}")], Parsed.Quota(quota), "--gpus")
            {
                StopsViolation = policy.Current.StopsViolations,
            };
        if (container.Name == "/audited")
            return new([], Parsed.Quota(quota), "--gpus")
            {
                Audited = [new("max-quota", "it is too much")],
                StopsViolation = policy.Current.StopsViolations,
            };
        return quota == "bad"
            ? new([new("quota-syntax", "gpu-memory=bad is\nno quota")], null, null)
            : new(
                container.Name is "/outlaw" or "/desperado" ? [new("outlaw", "it is an outlaw")] : [],
                Parsed.Quota(quota),
                "--gpus"
            )
            {
                StopsViolation = container.Name == "/desperado",
            };
    }
}

/// <summary>Notes which mounts were to be made private, and does it where nothing hinders.</summary>
sealed class FakeContainerMounts(FakeMounts mounts) : IContainerMounts
{
    public ConcurrentQueue<string> Asked { get; } = [];
    public string? Problem { get; set; }

    public Task<string?> MakePrivateAsync(int pid, MountEntry mount, string directory)
    {
        Asked.Enqueue($"{pid} {mount.Id} {mount.Target} {Path.GetFileName(directory)}");
        if (Problem is null)
            mounts.Change(pid, one => one.Id == mount.Id ? one with { Master = null } : one);
        return Task.FromResult(Problem);
    }
}

/// <summary>Notes what it is told.</summary>
sealed class FakePrograms : IPrograms
{
    /// <summary>By the container's first process.</summary>
    public ConcurrentDictionary<int, string> WithoutShim { get; } = [];

    public ConcurrentDictionary<int, string> Unreached { get; } = [];

    public ProgramsSeen Look(int pid) => new(WithoutShim.GetValueOrDefault(pid), Unreached.GetValueOrDefault(pid));
}

sealed class FakeLedger : IGpuReservations
{
    public ConcurrentQueue<string> Told { get; } = [];
    public ConcurrentDictionary<string, GpuMemoryQuota> Holders { get; } = [];

    public IReadOnlyList<(string Id, GpuMemoryQuota Quota)> Reserved() =>
        [.. Holders.Select(holder => (holder.Key, holder.Value))];

    public void Started(string id, DateTimeOffset at) => Told.Enqueue($"{id.TrimStart('0')} started");

    public void Running(ContainerInspect container, ContainerSpec spec, Verdict verdict) =>
        Told.Enqueue($"{container.Name} runs with {verdict.Quota}");

    public void Ended(string id, bool? restarts, DateTimeOffset at) =>
        Told.Enqueue(
            $"{id.TrimStart('0')} "
                + $"ended{(restarts switch { null => "", true => " and restarts", false => " for good" })}"
        );

    public void KeepOnly(IReadOnlySet<string> running, long asOf) => Told.Enqueue($"{running.Count} run");
}

/// <summary>Remembers for whom it was asked.</summary>
sealed class FakeInjector : IPreloadInjector
{
    public ConcurrentQueue<string> Served { get; } = [];
    public string? Problem { get; set; }

    public Task<string?> EnsureAsync(ContainerInspect container, ContainerSpec spec, CancellationToken cancel)
    {
        Served.Enqueue(container.Id);
        return Task.FromResult(Problem);
    }
}

/// <summary>Keeps the lines.</summary>
sealed class ListLogger<T>(ConcurrentQueue<string> lines) : ILogger<T>
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel,
        EventId eventId,
        TState state,
        Exception? exception,
        Func<TState, Exception?, string> formatter
    ) => lines.Enqueue($"{logLevel} {eventId.Id} {formatter(state, exception)}");
}

/// <summary>Nothing is mounted here.</summary>
sealed class NoHost : IHostView
{
    public bool Propagates() => true;

    public bool IsMountVisible(string dirId) => throw new NotSupportedException();

    public void RestartProcess() => throw new NotSupportedException();

    public void Settled() => throw new NotSupportedException();
}
