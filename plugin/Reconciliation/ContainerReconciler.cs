// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Globalization;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>Brings one running container's private directories in line with what it is: the engine says who it is, the
/// kernel which directories it has.</summary>
sealed partial class ContainerReconciler(
    IEngineClient engine,
    IContainerJudge judge,
    IGpuReservations reservations,
    IVolumeCatalog catalog,
    IPrivateDirectories directories,
    IActivations activations,
    IMountTable mounts,
    IProcessCgroups processes,
    IContainerMounts containerMounts,
    RunningContainers running,
    IPrograms programs,
    ReconciliationOptions options,
    TimeProvider time,
    ILogger<ContainerReconciler> log
)
{
    /// <summary>What was found out about a run of a container, so that a sweep need not ask the engine again. No quota:
    /// none of our business.</summary>
    sealed record Known(int Pid, IReadOnlyList<string> Directories, QuotaFile? Quota, int Epoch)
    {
        /// <summary>Mounts that were to be made private, by ID. What could not be, is not tried again.</summary>
        public HashSet<int> MadePrivate { get; init; } = [];

        /// <summary>See <see cref="Observed.Missing"/>.</summary>
        public string? Missing { get; init; }
    }

    /// <summary>As long as docker stop gives a container.</summary>
    static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(10);

    /// <summary>What is known counts in its own epoch only; work that began in an earlier one does not settle
    /// anything.</summary>
    volatile int _epoch;
    readonly ConcurrentDictionary<string, Known> _known = new(StringComparer.Ordinal);
    readonly ConcurrentDictionary<string, (string StartedAt, string Rules)> _judged = new(StringComparer.Ordinal);

    /// <summary>Containers whose mounts could not be read at the last look, and their first processes.</summary>
    readonly ConcurrentDictionary<string, int> _unread = new(StringComparer.Ordinal);

    /// <summary>Whether all is still as this process left it; asks only the kernel.</summary>
    public bool IsSettled(string id) =>
        _known.TryGetValue(id, out var known)
        && known.Epoch == _epoch
        && (
            known.Quota is null
            || IsAsLeft(known, MountsOf(known.Pid))
                && known.Directories.All(dirId => directories.HasQuota(dirId, known.Quota))
        );

    static bool IsAsLeft(Known known, OwnMounts own) =>
        !own.IsCut
        && !own.IsUnreadable
        && known.Directories.ToHashSet().SetEquals(own.Directories)
        && own.Observe().Shadowings.Count == 0
        && own.Missing == known.Missing
        && known.Directories.All(dirId => own.Slaves(dirId).All(mount => known.MadePrivate.Contains(mount.Id)));

    OwnMounts MountsOf(int pid) => new(mounts.OfProcess(pid), directories);

    /// <summary>After a time in which events were missed, and under another policy: every container is looked at
    /// again.</summary>
    public void ForgetRuns() => Interlocked.Increment(ref _epoch);

    /// <summary>Drops what is known of its last run, so that a violation is reported again.</summary>
    public void Forget(string id)
    {
        _known.TryRemove(id, out _);
        _judged.TryRemove(id, out _);
        _unread.TryRemove(id, out _);
        running.Remove(id);
    }

    /// <summary>The engine started it. To be called in the order of the engine's events: of a container that ends at
    /// once no more can be learnt.</summary>
    public void Started(string id, DateTimeOffset at)
    {
        judge.Started(id, at);
        reservations.Started(id, at);
    }

    /// <summary>It was stopped or removed.</summary>
    /// <param name="id">The container.</param>
    /// <param name="at">When, by the engine's word. It may be heard after that of the next run.</param>
    public void Ended(string id, DateTimeOffset at)
    {
        reservations.Ended(id, restarts: false, at);
        Forget(id);
    }

    /// <summary>It ended by itself. Whether it is about to run again only the engine knows: a restart policy can be
    /// changed at any time.</summary>
    public async Task DiedAsync(string id, DateTimeOffset at, CancellationToken cancel)
    {
        Forget(id);
        if (reservations.Reserved().All(holder => holder.Id != id))
            return;
        try
        {
            var state = (await engine.InspectContainerAsync(id, cancel))?.State;
            if (state is not { Running: true } || state.Pid == 0)
                reservations.Ended(id, restarts: state is { Running: true }, at);
        }
        catch (EngineException)
        {
            reservations.Ended(id, restarts: null, at);
        }
    }

    /// <summary>All running containers were reconciled.</summary>
    public void Counted(IReadOnlySet<string> ids, long asOf) => reservations.KeepOnly(ids, asOf);

    /// <summary>Forgets all runs but these.</summary>
    public void KeepOnly(IReadOnlySet<string> ids)
    {
        foreach (var id in _known.Keys.Union(_judged.Keys).Union(_unread.Keys).Union(running.Ids))
            if (!ids.Contains(id))
                Forget(id);
    }

    /// <summary>Judges a running container as the engine describes it now, and writes the quota into its directories,
    /// or stops it if the policy says so. Throws <see cref="EngineException"/>, <see cref="IOException"/> or
    /// <see cref="UnauthorizedAccessException"/> if it has to be tried again.</summary>
    public Task ReconcileAsync(string id, CancellationToken cancel) => ReconcileAsync(id, [], cancel);

    /// <summary>The same, with the driver's count of what it uses.</summary>
    /// <param name="id">The container.</param>
    /// <param name="excesses">GPUs of which it was seen to have more than its quota.</param>
    /// <param name="cancel">Ends the work.</param>
    public Task ReconcileAsync(string id, IReadOnlyList<Excess> excesses, CancellationToken cancel) =>
        ReconcileAsync(id, excesses, isLoaded: false, cancel);

    async Task ReconcileAsync(string id, IReadOnlyList<Excess> excesses, bool isLoaded, CancellationToken cancel)
    {
        try
        {
            await ReconcileReadableAsync(id, excesses, isLoaded, cancel);
        }
        catch (EngineException e) when (e.IsTooLong)
        {
            await EndUnreadableAsync(id, e.Message, cancel);
        }
    }

    /// <summary>A running container of which the engine does not say what it is.</summary>
    /// <param name="id">The container.</param>
    /// <param name="problem">Why it does not.</param>
    /// <param name="cancel">Ends the work.</param>
    public async Task EndUnreadableAsync(string id, string problem, CancellationToken cancel)
    {
        var verdict = judge.JudgeUnreadable(problem);
        var rules = RulesOf(verdict);
        if (_judged.GetValueOrDefault(id).Rules != rules)
        {
            _judged[id] = ("", rules);
            LogRunsAgainstRules(log, id, "", "", "none", rules, verdict.Message);
        }
        if (verdict.StopsViolation)
            await engine.StopContainerAsync(id, StopGrace, cancel);
    }

    async Task ReconcileReadableAsync(
        string id,
        IReadOnlyList<Excess> excesses,
        bool isLoaded,
        CancellationToken cancel
    )
    {
        var epoch = _epoch;
        if (await engine.InspectContainerAsync(id, cancel) is not { State: { Running: true, Pid: > 0 } } container)
            return;
        var pid = container.State.Pid;
        var isOurs = container.Mounts.Any(catalog.Owns);
        isLoaded |= !IsYoung(container);
        var own = isOurs ? MountsOf(pid) : new([], directories);
        // A number can be another process's by now. Its control group says whose it is; else the engine must say that
        // the same run still has it.
        if (isOurs && !processes.IsInContainer(pid, container.Id) && !await StillRunsAsync(container, cancel))
            return;
        var seen = isOurs && isLoaded ? programs.Look(pid) : default;
        var (spec, verdict) = judge.Judge(
            container,
            Requester.Engine,
            own.Observe() with
            {
                Excesses = excesses,
                Missing = own.Missing,
                IsUnreadable = isOurs && StaysUnreadable(container, own),
                WithoutShim = seen.WithoutShim,
            }
        );
        reservations.Running(container, spec, verdict);
        var asOf = time.GetUtcNow();
        if (isOurs && !processes.IsInContainer(pid, container.Id) && !await StillRunsAsync(container, cancel))
        {
            reservations.Ended(id, restarts: null, asOf); // its end may have been told before
            return;
        }
        running.Set(container, spec, verdict.Quota, own.Directories, seen.Unreached);
        Report(container, verdict);
        if (verdict is { IsAllowed: false, StopsViolation: true } or { IsAllowed: false, KillsNow: true })
        {
            await engine.StopContainerAsync(id, verdict.KillsNow ? TimeSpan.Zero : StopGrace, cancel);
            return;
        }
        if (!isOurs)
        {
            _known[id] = new(pid, [], null, epoch);
            return;
        }
        await DeliverAsync(container, own, QuotaOf(container.Id, verdict), epoch);
        if (!isLoaded)
            _ = LookAgainAsync(id, pid, cancel);
    }

    /// <summary>Whether its first programs may be loading still.</summary>
    bool IsYoung(ContainerInspect container) =>
        DateTimeOffset.TryParse(container.State.StartedAt, CultureInfo.InvariantCulture, out var started)
        && time.GetUtcNow() - started < options.LookAfter;

    async Task LookAgainAsync(string id, int pid, CancellationToken cancel)
    {
        try
        {
            await Task.Delay(options.LookAfter, time, cancel);
            if (!_known.TryGetValue(id, out var known) || known.Pid != pid)
                return;
            var seen = programs.Look(pid);
            if (seen.WithoutShim is not null)
                await ReconcileAsync(id, [], isLoaded: true, cancel);
            else
                running.Saw(id, pid, seen.Unreached);
        }
        catch (Exception e) when (e is EngineException or IOException or UnauthorizedAccessException)
        {
            ReconciliationLog.LogNotReconciled(log, id, e.Message);
        }
        catch (OperationCanceledException) { }
    }

    async Task<bool> StillRunsAsync(ContainerInspect container, CancellationToken cancel) =>
        await engine.InspectContainerAsync(container.Id, cancel) is { State.Running: true } again
        && again.State.Pid == container.State.Pid
        && again.State.StartedAt == container.State.StartedAt;

    async Task DeliverAsync(ContainerInspect container, OwnMounts own, QuotaFile quota, int epoch)
    {
        var found = own.Directories;
        var claimed = new List<string>();
        var madePrivate = new HashSet<int>();
        foreach (var dirId in found)
        {
            if (!activations.Claim(dirId, container.Id, container.State.Pid))
            {
                LogForeignDirectory(log, container.Id, container.Name, dirId);
                continue;
            }
            claimed.Add(dirId);
            if (directories.WriteQuota(dirId, quota))
                LogQuotaWritten(log, container.Id, container.Name, dirId, quota.Error ?? quota.Limit ?? "");
            madePrivate.UnionWith(await MakePrivateAsync(container, own.Slaves(dirId), dirId));
        }
        if (claimed.Count == found.Count && !own.IsUnreadable)
            _known[container.Id] = new(container.State.Pid, claimed, quota, epoch)
            {
                MadePrivate = madePrivate,
                Missing = own.Missing,
            };
    }

    /// <summary>Keeps what is mounted on the directory in the container from going when the engine takes the plugin's
    /// mounts away: the ledger.</summary>
    /// <returns>The mounts that it was tried with.</returns>
    async Task<IReadOnlyList<int>> MakePrivateAsync(ContainerInspect container, List<MountEntry> slaves, string dirId)
    {
        foreach (var mount in slaves)
            if (
                await containerMounts.MakePrivateAsync(container.State.Pid, mount, directories.PathOf(dirId))
                    is { } problem
                && mounts.OneByOne(container.State.Pid).Any()
            )
                LogNotPrivate(log, container.Id, container.Name, dirId, problem);
        return [.. slaves.Select(mount => mount.Id)];
    }

    /// <summary>Whether they could not be read before either: a look can meet with a process that is about to
    /// end.</summary>
    bool StaysUnreadable(ContainerInspect container, OwnMounts own)
    {
        if (!own.IsUnreadable)
        {
            _unread.TryRemove(container.Id, out _);
            return false;
        }
        var stays = _unread.TryGetValue(container.Id, out var pid) && pid == container.State.Pid;
        _unread[container.Id] = container.State.Pid;
        return stays;
    }

    /// <summary>A container that came past admission and should not have is said so once a run and for the same
    /// rules.</summary>
    void Report(ContainerInspect container, Verdict verdict)
    {
        var rules = RulesOf(verdict);
        if (
            rules.Length == 0
            || _judged.TryGetValue(container.Id, out var said) && said == (container.State.StartedAt, rules)
        )
            return;
        _judged[container.Id] = (container.State.StartedAt, rules);
        if (verdict.Audited.Count > 0)
            LogWouldRunAgainstRules(
                log,
                container.Id,
                container.Name,
                container.Config.Image,
                verdict.Gpu ?? "none",
                Rules(verdict.Audited),
                string.Join("; ", verdict.Audited.Select(reason => reason.Message))
            );
        if (!verdict.IsAllowed)
            LogRunsAgainstRules(
                log,
                container.Id,
                container.Name,
                container.Config.Image,
                verdict.Gpu ?? "none",
                Rules(verdict.Reasons),
                verdict.Message
            );
    }

    static string RulesOf(Verdict verdict) => Rules([.. verdict.Reasons, .. verdict.Audited]);

    static string Rules(IEnumerable<Reason> reasons) => string.Join(",", reasons.Select(reason => reason.Rule));

    /// <summary>What the shim reads for this verdict: the quota, or why the container may not use a GPU.</summary>
    internal static QuotaFile QuotaOf(string container, Verdict verdict) =>
        verdict.Quota is { } quota
            ? new(container) { Limit = quota.Text }
            : new(container)
            {
                Error = verdict.IsAllowed
                    ? "the container has the volume but no quota: add --label gpu-memory=0.5"
                    : verdict.Message,
            };

    [LoggerMessage(
        500,
        LogLevel.Information,
        "quota container={Container} name={Name} directory={Directory} limit={Limit}"
    )]
    static partial void LogQuotaWritten(ILogger logger, string container, string name, string directory, string limit);

    [LoggerMessage(
        501,
        LogLevel.Warning,
        "running against the rules container={Container} name={Name} image={Image} gpu={Gpu} rules={Rules}: {Reasons}"
    )]
    static partial void LogRunsAgainstRules(
        ILogger logger,
        string container,
        string name,
        string image,
        string gpu,
        string rules,
        string reasons
    );

    [LoggerMessage(
        502,
        LogLevel.Warning,
        "container={Container} name={Name} loses the ledger of its processes when the plugin is disabled, because "
            + "its mount of directory={Directory} could not be made private: {Problem}"
    )]
    static partial void LogNotPrivate(ILogger logger, string container, string name, string directory, string problem);

    [LoggerMessage(
        503,
        LogLevel.Warning,
        "container={Container} name={Name} has mounted directory={Directory} of another running container, and "
            + "gets no quota there"
    )]
    static partial void LogForeignDirectory(ILogger logger, string container, string name, string directory);

    [LoggerMessage(
        514,
        LogLevel.Warning,
        "audit: running against the rules container={Container} name={Name} image={Image} gpu={Gpu} "
            + "rules={Rules}: {Reasons}"
    )]
    static partial void LogWouldRunAgainstRules(
        ILogger logger,
        string container,
        string name,
        string image,
        string gpu,
        string rules,
        string reasons
    );
}
