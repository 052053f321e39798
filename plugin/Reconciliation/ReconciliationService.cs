// SPDX-License-Identifier: Apache-2.0
using System.Threading.Channels;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Preload;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>Follows the engine's containers, however they came to run: subscribes to events first, then looks at all of
/// them, and again now and then and under another policy.</summary>
sealed partial class ReconciliationService(
    IEngineClient engine,
    ContainerReconciler reconciler,
    IContainerJudge judge,
    IPreloadInjector injector,
    IVolumeCatalog catalog,
    PluginIdentity identity,
    SelfCalls own,
    ChainProbe chain,
    RunningContainers running,
    PolicySource policy,
    IGpuInventory gpus,
    PluginSettings settings,
    ReconciliationOptions options,
    TimeProvider time,
    ILogger<ReconciliationService> log
) : BackgroundService
{
    /// <summary>The label of containers that swarm makes, without an API call.</summary>
    const string SwarmTask = "com.docker.swarm.task.id";

    /// <summary>What waits to be worked on. Without the attributes, among which are all labels of a
    /// container.</summary>
    const int MaxEvents = 10_000;

    readonly Channel<EngineEvent> _events = Channel.CreateBounded<EngineEvent>(MaxEvents);
    readonly Channel<bool> _sweeps = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite }
    );

    protected override Task ExecuteAsync(CancellationToken stoppingToken)
    {
        policy.Changed += LookAtAll;
        return Task.WhenAll(
            Enumerable
                .Range(0, options.Workers)
                .Select(_ => WorkAsync(stoppingToken))
                .Append(WatchAsync(stoppingToken))
                .Append(SweepAsync(stoppingToken))
                .Append(TickAsync(stoppingToken))
                .Append(Task.Run(() => gpus.Problem, stoppingToken))
        );
    }

    void LookAtAll()
    {
        reconciler.ForgetRuns();
        _sweeps.Writer.TryWrite(true);
    }

    Task WatchAsync(CancellationToken cancel)
    {
        var failures = 0;
        return Loop.RunAsync(
            log,
            cancel,
            WatchOnceAsync,
            token => Task.Delay(options.Reconnect[Math.Min(failures++, options.Reconnect.Count - 1)], time, token)
        );

        async Task WatchOnceAsync(CancellationToken token)
        {
            try
            {
                var events = await engine.WatchContainersAsync(token);
                LogConnected(log);
                chain.IsApiServed = true;
                failures = 0;
                await LearnNameAsync(token);
                LookAtAll();
                await foreach (var one in events.WithCancellation(token))
                {
                    if (one.Action == "start")
                        reconciler.Started(one.Actor.Id, TimeOf(one));
                    Queue(one);
                }
            }
            catch (EngineException e)
            {
                if (failures == 0)
                    LogDisconnected(log, settings.EngineSocket, e.Message);
            }
            finally
            {
                chain.IsApiServed = false;
            }
        }
    }

    /// <summary>What is too much is not told one by one: all containers are looked at instead.</summary>
    void Queue(EngineEvent one)
    {
        if (one.Action == "create" && IsAdmitted(one))
            return;
        if (one.Action == "rename")
        {
            if (one.Actor.Attributes?.GetValueOrDefault("name") is { } name)
                running.Rename(one.Actor.Id, name);
            return;
        }
        if (!_events.Writer.TryWrite(one with { Actor = new() { Id = one.Actor.Id } }))
            LookAtAll();
    }

    async Task LearnNameAsync(CancellationToken cancel)
    {
        if (
            identity.Id is null
            || await engine.PluginNameAsync(identity.Id, cancel) is not { } name
            || name == identity.Name
        )
            return;
        var lostOnes = await engine.LostSourcesAsync(identity.Id, cancel);
        identity.Name = name;
        LogNameKnown(log, name);
        foreach (var lost in lostOnes)
        {
            var problem =
                $"{lost.Name}.source={Quoted.Text(lost.Set)} was lost by an upgrade, and "
                + $"{Quoted.Text(lost.Mounted)} is mounted: with the plugin disabled, docker plugin set "
                + $"{identity.DisplayName} {lost.Name}.source={Quoted.Text(lost.Set)}";
            LogSourceLost(log, problem);
            if (lost.Name == PolicySource.Mount)
                policy.Distrust(problem);
        }
    }

    /// <summary>A worker outlives whatever a single event brings.</summary>
    Task WorkAsync(CancellationToken cancel) =>
        Loop.RunAsync(log, cancel, async token => await HandleAsync(await _events.Reader.ReadAsync(token), token));

    Task HandleAsync(EngineEvent one, CancellationToken cancel) =>
        one.Action switch
        {
            "start" => TryAsync(one.Actor.Id, NotReconciled, reconciler.ReconcileAsync, cancel),
            "create" => TryAsync(one.Actor.Id, NotInjected, InjectAsync, cancel),
            "die" => reconciler.DiedAsync(one.Actor.Id, TimeOf(one), cancel),
            "stop" or "destroy" => Forget(one),
            _ => Task.CompletedTask,
        };

    void NotReconciled(string id, string problem) => ReconciliationLog.LogNotReconciled(log, id, problem);

    void NotInjected(string id, string problem) => LogNotInjected(log, id, problem);

    Task Forget(EngineEvent one)
    {
        reconciler.Ended(one.Actor.Id, TimeOf(one));
        return Task.CompletedTask;
    }

    DateTimeOffset TimeOf(EngineEvent one) =>
        one.TimeNano > 0 ? DateTimeOffset.UnixEpoch.AddTicks(one.TimeNano / 100) : time.GetUtcNow();

    /// <summary>Whether the container came by an API call that admission saw to. An inspect for each event would make
    /// creating containers three times as slow.</summary>
    bool IsAdmitted(EngineEvent one) => own.IsAuthorizing && one.Actor.Attributes?.ContainsKey(SwarmTask) != true;

    /// <summary>For tasks of swarm: nothing else gives them their preload. It comes too late for the first program,
    /// which the environment of the service serves; it is for those that lose that. Where the engine does not ask this
    /// plugin nothing is mounted, so nothing can be copied either: the start, once it asks, sees to it.</summary>
    async Task InjectAsync(string id, CancellationToken cancel)
    {
        if (
            await chain.LookAsync(cancel) == Asking.No
            || await engine.InspectContainerAsync(id, cancel) is not { } container
            || !container.Mounts.Any(catalog.Owns)
        )
            return;
        if (await injector.EnsureAsync(container, judge.Describe(container), cancel) is { } problem)
            NotInjected(id, problem);
    }

    async Task TryAsync(
        string id,
        Action<string, string> failed,
        Func<string, CancellationToken, Task> work,
        CancellationToken cancel
    )
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                await work(id, cancel);
                return;
            }
            catch (Exception e) when (e is EngineException or IOException or UnauthorizedAccessException)
            {
                if (attempt == options.Retry.Count)
                {
                    failed(id, e.Message);
                    return;
                }
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                ReconciliationLog.LogBug(log, e);
                return;
            }
            await PauseAsync(options.Retry[attempt], cancel);
        }
    }

    Task SweepAsync(CancellationToken cancel) =>
        Loop.RunAsync(
            log,
            cancel,
            async token =>
            {
                await _sweeps.Reader.ReadAsync(token);
                await SweepOnceAsync(token);
            }
        );

    async Task SweepOnceAsync(CancellationToken cancel)
    {
        try
        {
            var asOf = time.GetTimestamp();
            var running = await engine.ListRunningAsync(cancel);
            var ids = running.ToHashSet(StringComparer.Ordinal);
            reconciler.KeepOnly(ids);
            await Parallel.ForEachAsync(
                running.Where(id => !reconciler.IsSettled(id)),
                new ParallelOptions { MaxDegreeOfParallelism = options.Workers, CancellationToken = cancel },
                async (id, token) => await TryAsync(id, NotReconciled, reconciler.ReconcileAsync, token)
            );
            reconciler.Counted(ids, asOf);
        }
        catch (EngineException e)
        {
            LogSweepFailed(log, e.Message);
        }
    }

    Task TickAsync(CancellationToken cancel) =>
        Loop.EveryAsync(
            options.SweepEvery,
            time,
            _ =>
            {
                _sweeps.Writer.TryWrite(true);
                return Task.CompletedTask;
            },
            log,
            cancel
        );

    async Task PauseAsync(TimeSpan pause, CancellationToken cancel)
    {
        try
        {
            await Task.Delay(pause, time, cancel);
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested) { }
    }

    [LoggerMessage(504, LogLevel.Information, "watching the engine's containers")]
    static partial void LogConnected(ILogger logger);

    [LoggerMessage(
        505,
        LogLevel.Warning,
        "the engine does not answer at {Socket} (settings run.source and DOCKER_HOST), trying again until it "
            + "does: {Problem}"
    )]
    static partial void LogDisconnected(ILogger logger, string socket, string problem);

    [LoggerMessage(507, LogLevel.Warning, "container={Container} has no preload of the shim: {Problem}")]
    static partial void LogNotInjected(ILogger logger, string container, string problem);

    [LoggerMessage(509, LogLevel.Warning, "the sweep over all containers failed, the next one follows: {Problem}")]
    static partial void LogSweepFailed(ILogger logger, string problem);

    [LoggerMessage(510, LogLevel.Information, "this plugin is {Name} to the engine")]
    static partial void LogNameKnown(ILogger logger, string name);

    [LoggerMessage(516, LogLevel.Error, "{Problem} (docs/operate.md, \"Upgrade, removal\")")]
    static partial void LogSourceLost(ILogger logger, string problem);
}
