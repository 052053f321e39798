// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Calls;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Preload;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission;

/// <summary>Judges containers when they start or restart: the decision that counts. What such a call needs until its
/// answer is remembered here, see <c>Starts/README.md</c>.</summary>
sealed partial class StartGate(
    IEngineClient engine,
    ContainerSpecMapper specs,
    EngineDefaults defaults,
    IGpuInventory gpus,
    PreloadInjector preload,
    PolicySource policy,
    GpuReservations reservations,
    StartCalls starts,
    AllowedStarts allowed,
    LeftBehind left,
    ContainerReach reach,
    DecisionLog decisions,
    TimeProvider time,
    ILogger<Authorizer> log
)
{
    /// <summary>The engine's answer to a start or restart that it did.</summary>
    const int Started = 204;

    /// <summary>Judges a start or restart and logs the decision. When it allows one, the preload is in the container
    /// and the quota is reserved.</summary>
    public async ValueTask<AuthZAnswer> JudgeAsync(AuthZRequest apiCall, EngineRoute route, CancellationToken cancel)
    {
        // One policy from here to the answer: where another comes into force meanwhile, what runs is judged by that one
        // afterwards.
        var started = decisions.Start();
        var settings = policy.Current;
        var requester = settings.RequesterOf(apiCall);
        if (HasOldBody(apiCall, route))
            return Refuse(apiCall, route, OldBody);
        apiCall.ReleaseBodies();
        if (starts.FindProblem(apiCall, route.Name) is { } full)
            return Refuse(apiCall, route, Verdict.Refused("engine", full));
        using var deadline = EngineDeadline.OfAnswer(time, cancel);
        ContainerSpec? spec = null;
        ContainerInspect? container = null;
        Verdict verdict;
        try
        {
            container = await engine.InspectContainerAsync(route.Name, deadline.Token);
            if (JudgeName(route.Name, container, requester, settings) is { IsAllowed: false } refusal)
                return decisions.Answer(route.Kind, apiCall, route.Name, null, refusal, started);
            if (container is null)
            {
                starts.Allowed(apiCall, route.Name, null);
                return AuthZAnswer.Allowed; // the engine says so itself
            }
            spec = specs.FromInspect(container, defaults.Runtime) with { KnowsSubpath = route.KnowsSubpath };
            var checkpoint = CheckpointCalls.JudgeFolders(
                EngineRoute.QueryValues(apiCall.RequestUri ?? "", "checkpoint-dir"),
                settings,
                requester
            );
            verdict = checkpoint.IsAllowed
                ? checkpoint.And(
                    WithNextTry(
                        await JudgeStartAsync(container, spec, requester, settings, deadline.Token),
                        container,
                        spec.Tool
                    )
                )
                : checkpoint;
        }
        catch (Exception e) when (deadline.IsNoAnswer(e))
        {
            verdict = Unknown(route, e);
        }
        if (verdict.IsAllowed && container is not null)
        {
            starts.Allowed(apiCall, route.Name, container.Id);
            if (spec?.QuotaMounts.Count > 0)
                allowed.Note(new(container.Id, container.Name, verdict));
        }
        else if (container is null or { HostConfig.AutoRemove: true, State.Status: "created" })
            left.Refused(container?.Id ?? route.Name);
        return decisions.Answer(route.Kind, apiCall, route.Name, spec, verdict, started);
    }

    /// <summary>By a whole ID a call means no other container.</summary>
    static Verdict JudgeName(string name, ContainerInspect? container, Requester requester, PolicySettings settings)
    {
        if (!ContainerReach.IsJudged(requester, settings) || ContainerNames.IsWholeId(name))
            return Verdict.Allowed;
        var problem =
            ContainerReach.FindNameProblem(name) ?? (container is null ? ContainerReach.NoContainer(name) : null);
        return problem is null ? Verdict.Allowed : Verdict.RefusedByPolicyFile(settings, "reach", problem);
    }

    static string NextTry(ClientTool tool, ContainerInspect container) =>
        Advice.NextTry(tool, container.Name.TrimStart('/'), container.State.Status == "created");

    /// <summary>The container of a start that does not fit now is there already, and keeps its name: another <c>docker
    /// run</c> would fail on that.</summary>
    static Verdict WithNextTry(Verdict verdict, ContainerInspect container, ClientTool tool) =>
        verdict.IsAllowed
        || container.HostConfig.AutoRemove
        || !verdict.Reasons.All(reason => PolicyRules.MeansNotNow(reason.Rule))
            ? verdict
            : verdict with
            {
                Reasons =
                [
                    .. verdict.Reasons.Take(verdict.Reasons.Count - 1),
                    verdict.Reasons[^1] with
                    {
                        Message = $"{verdict.Reasons[^1].Message}; {NextTry(tool, container)}",
                    },
                ],
            };

    async ValueTask<Verdict> JudgeStartAsync(
        ContainerInspect container,
        ContainerSpec spec,
        Requester requester,
        PolicySettings settings,
        CancellationToken cancel
    )
    {
        if (settings.Overcommit is not null && spec.Gpu is not null)
        {
            await reservations.Rebuilt.WaitAsync(cancel);
            if (!gpus.IsKnown && !settings.IsAudit)
                return Verdict.Refused(
                    "engine",
                    "the driver has not said yet which GPUs this host has, so what is left of them is unknown: try "
                        + "again"
                );
        }
        Verdict Judge(GpuHoldings? holdings) => PolicyRules.Evaluate(spec, requester, gpus.Devices, settings, holdings);
        var joined = await reach.JudgeJoinedAsync(container.NamesOfJoined(), spec, requester, settings, cancel);
        var verdict = joined.And(Judge(reservations.HeldByOthers(container.Id)));
        if (verdict.IsAllowed && await preload.EnsureAsync(container, spec, cancel) is { } problem)
            return verdict with { Reasons = [new("preload", problem)] };
        // Last, so that nothing is held for a start that is refused, and what runs loses nothing by one.
        return verdict.IsAllowed ? joined.And(reservations.Decide(container, spec, requester.Name, Judge)) : verdict;
    }

    /// <summary>What a start would be answered: nothing is held, and nothing written into the container.</summary>
    /// <returns>What was found; null with the reason where the engine does not say what the container is.</returns>
    public async ValueTask<(Evaluation? Found, string? Problem)> EvaluateAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings settings,
        CancellationToken cancel
    )
    {
        var requester = settings.RequesterOf(apiCall);
        var hasOldBody = HasOldBody(apiCall, route);
        apiCall.ReleaseBodies();
        var (container, problem) = await FindContainerAsync(route, cancel);
        if (container is null)
            return (null, problem ?? $"there is no container {Quoted.Text(route.Name)}");
        var holdings = reservations.HeldByOthers(container.Id);
        var spec = specs.FromInspect(container, defaults.Runtime) with { KnowsSubpath = route.KnowsSubpath };
        var verdict = hasOldBody ? OldBody : PolicyRules.Evaluate(spec, requester, gpus.Devices, settings, holdings);
        try
        {
            verdict = (await reach.JudgeJoinedAsync(container.NamesOfJoined(), spec, requester, settings, cancel)).And(
                verdict
            );
        }
        catch (EngineException e)
        {
            verdict = Unknown(route, e);
        }
        return (new(spec, verdict, holdings), null);
    }

    async ValueTask<(ContainerInspect? Container, string? Problem)> FindContainerAsync(
        EngineRoute route,
        CancellationToken cancel
    )
    {
        using var deadline = EngineDeadline.OfAnswer(time, cancel);
        try
        {
            return (await engine.InspectContainerAsync(route.Name, deadline.Token), null);
        }
        catch (Exception e) when (deadline.IsNoAnswer(e))
        {
            return (null, Unknown(route, e).Message);
        }
    }

    /// <summary>The engine answered a start or restart.</summary>
    public void Answered(AuthZRequest apiCall, EngineRoute route)
    {
        if (starts.Answered(apiCall, route.Name) is { } id && apiCall.ResponseStatusCode == Started)
            reservations.Succeeded(id);
    }

    /// <summary>What an allowed start holds of the GPUs goes back when the container does not run after all.</summary>
    public async ValueTask ReleaseFailedAsync(AuthZRequest apiCall, EngineRoute route, CancellationToken cancel)
    {
        // 204: it started. One that runs already, or whose start failed, shows some other status here, not always its
        // own.
        if (apiCall.ResponseStatusCode == Started)
            return;
        using var deadline = EngineDeadline.OfAnswer(time, cancel);
        try
        {
            if (await engine.InspectContainerAsync(route.Name, deadline.Token) is not { } container)
                return;
            if (container.State.Running)
                reservations.RunsAlready(container.Id);
            else
                reservations.Failed(container.Id);
        }
        catch (Exception e) when (e is EngineException or OperationCanceledException)
        {
            LogNotTakenBack(log, route.Name, e.Message);
        }
    }

    /// <summary>Refuses a call, of whatever kind, before anybody looked at what it is about.</summary>
    public AuthZAnswer Refuse(AuthZRequest apiCall, EngineRoute route, Verdict refusal)
    {
        LookAfterRefused(route);
        return decisions.Answer(route, apiCall, refusal);
    }

    /// <summary>A call was refused. If it was a start, its container may be one that the engine would have
    /// removed.</summary>
    public void LookAfterRefused(EngineRoute route)
    {
        if (route.Kind is RouteKind.ContainerStart or RouteKind.ContainerRestart)
            left.Refused(route.Name);
    }

    static bool HasOldBody(AuthZRequest apiCall, EngineRoute route) =>
        route.Kind == RouteKind.ContainerStart && route.IsOlderThan(24) && !apiCall.HasNoBody;

    static readonly Verdict OldBody = Verdict.Refused(
        "start-body",
        "this start call of an API before 1.24 brings a configuration of its own: create the container with it instead"
    );

    static Verdict Unknown(EngineRoute route, Exception e) =>
        Verdict.Refused(
            "engine",
            $"the GPU memory plugin could not learn from the engine what {Quoted.Text(route.Name)} is "
                + $"({(e is EngineException ? Quoted.Text(e.Message, 200) : "no answer in time")}), so it "
                + "does not start: try again"
        );

    [LoggerMessage(
        605,
        LogLevel.Debug,
        "Whether the start of {Container} failed will be seen by the next sweep: {Problem}"
    )]
    static partial void LogNotTakenBack(ILogger logger, string container, string problem);
}
