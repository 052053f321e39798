// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using Runai.GpuMemory.Admission.Calls;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Preload;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission;

/// <summary>Judges containers when they are created, early and friendly, and sees to it that they load the
/// shim.</summary>
sealed partial class CreateGate(
    IEngineClient engine,
    ContainerSpecMapper specs,
    CreateResolver creates,
    EngineDefaults defaults,
    IGpuInventory gpus,
    PreloadInjector preload,
    PolicySource policy,
    GpuReservations reservations,
    ContainerReach reach,
    NamedVolumes named,
    IVolumeCatalog volumes,
    VolumeMakers makers,
    DecisionLog decisions,
    TimeProvider time,
    ILogger<Authorizer> log
)
{
    /// <summary>Of other containers, the most that a create may name: more are refused by the reach of each.</summary>
    const int MaxNames = 16;

    /// <summary>Judges a create call and logs the decision. Reserves nothing; the start does. Holds names of other
    /// containers in <paramref name="names"/> until the engine has looked at them.</summary>
    public async ValueTask<AuthZAnswer> JudgeAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        CallNames names,
        CancellationToken cancel
    )
    {
        var started = decisions.Start();
        var settings = policy.Current;
        var (spec, verdict) = await JudgeCreateAsync(apiCall, route, settings, GpuHoldings.None, names, cancel);
        if (verdict.IsAllowed)
            verdict = PolicyRules.OfSubpath(route, spec!).And(verdict);
        if (verdict.IsAllowed)
            foreach (
                var volume in spec!
                    .QuotaMounts.Select(mount => mount.Volume)
                    .Where(volume => volumes.Find(volume) is null)
            )
                makers.Expect(volume, settings.OwnerOf(apiCall)); // the engine makes it now
        return decisions.Answer(RouteKind.ContainerCreate, apiCall, "", spec, verdict, started);
    }

    /// <summary>What a create would be answered.</summary>
    public async ValueTask<Evaluation> EvaluateAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings settings,
        CancellationToken cancel
    )
    {
        var holdings = reservations.HeldByOthers("");
        var (spec, verdict) = await JudgeCreateAsync(apiCall, route, settings, holdings, names: null, cancel);
        return new(spec, verdict, holdings);
    }

    /// <summary>No spec where the body cannot be read. Without names it is a dry run, and the image is looked
    /// at.</summary>
    async ValueTask<(ContainerSpec? Spec, Verdict Verdict)> JudgeCreateAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings settings,
        GpuHoldings? holdings,
        CallNames? names,
        CancellationToken cancel
    )
    {
        var name = ContainerNames.Judge(EngineRoute.QueryValues(apiCall.RequestUri ?? "", "name"), settings);
        if (!name.IsAllowed)
            return (null, name);
        var problem =
            "the engine did not pass it on, which it does for the type application/json only and, by its "
            + "version, up to 1 or 4 MiB";
        if (apiCall.RequestBody is not { Length: > 0 } json || !CreateBody.TryRead(json, out var body, out problem))
            return (
                null,
                Verdict.Refused(
                    "create-body",
                    $"the body of this create call is ambiguous, so it is refused: {problem}"
                )
            );
        if (ContainerNames.FindAliasProblem(body.HostConfig?.Links) is { } alias)
            return (null, Verdict.Refused("container-name", alias));
        apiCall.ReleaseBodies();
        body = body.WithoutIrrelevant(); // the rest may be megabytes, and the engine may take its time
        var (spec, refusal) = await creates.DescribeAsync(body, withImage: names is null, needsImage: false, cancel);
        if (spec is null)
            return (null, new([refusal!], null, null));
        spec = spec with { KnowsSubpath = route.KnowsSubpath };
        var requester = settings.RequesterOf(apiCall);
        var (judged, verdict) = await AskOfOthersAsync(spec, body, requester, settings, names, cancel);
        return (
            judged,
            name.And(
                verdict.IsAllowed
                    ? verdict.And(PolicyRules.Evaluate(judged, requester, gpus.Devices, settings, holdings))
                    : verdict
            )
        );
    }

    /// <summary>What the volumes are that the body names, and whether the containers whose namespaces it shares are
    /// within the caller's reach.</summary>
    async ValueTask<(ContainerSpec Spec, Verdict Verdict)> AskOfOthersAsync(
        ContainerSpec spec,
        CreateBody body,
        Requester requester,
        PolicySettings settings,
        CallNames? names,
        CancellationToken cancel
    )
    {
        string[] links = [.. ContainerNames.OfLinks(body.HostConfig?.Links).Select(link => link.Name)];
        var isExempt = settings.IsExempt(spec, requester);
        if (settings.IsBuiltIn || (isExempt && links.Length == 0))
            return (spec, Verdict.Allowed);
        using var deadline = EngineDeadline.OfAnswer(time, cancel);
        try
        {
            if (settings.AllowBindMounts is not null && !isExempt)
                spec = spec with
                {
                    HostPaths = [.. spec.HostPaths, .. await named.FindHostPathsAsync(body.HostConfig, deadline.Token)],
                };
            string[] joined = isExempt ? [] : [.. body.HostConfig?.NamesOfJoined() ?? []];
            if (names is not null && !settings.IsAudit && ContainerReach.IsJudged(requester, settings))
                foreach (
                    var name in joined
                        .Concat(links)
                        .Where(name => !ContainerNames.IsWholeId(name))
                        .Distinct()
                        .Take(MaxNames)
                )
                    if (await names.ReachAsync(name, deadline.Token) is { } moving)
                        return (spec, Verdict.Refused("reach", moving));
            var linked =
                links.Length == 0
                    ? Verdict.Allowed
                    : await reach.JudgeAsync("--link", links, requester, settings, deadline.Token);
            return (spec, linked.And(await reach.JudgeJoinedAsync(joined, spec, requester, settings, deadline.Token)));
        }
        catch (Exception e) when (deadline.IsNoAnswer(e))
        {
            return (
                spec,
                Verdict.RefusedByPolicyFile(
                    settings,
                    "engine",
                    "the GPU memory plugin could not learn from the engine what volumes and containers this "
                        + "one is to use, so it is refused: try again"
                )
            );
        }
    }

    /// <summary>After a create or an upload: the shim goes into the container, or again. What fails here is tried
    /// again, and told to the user, at the start.</summary>
    public async ValueTask InjectPreloadAsync(AuthZRequest apiCall, EngineRoute route, CancellationToken cancel)
    {
        using var deadline = EngineDeadline.OfAnswer(time, cancel);
        try
        {
            // An upload counts whatever came of it: the engine says 0 where it went well, and what failed half-way has
            // written before.
            var name = route.Kind == RouteKind.ContainerCreate ? CreatedId(apiCall) : route.Name;
            apiCall.ReleaseBodies();
            if (name is null || await engine.InspectContainerAsync(name, deadline.Token) is not { } container)
                return;
            if (route.Kind == RouteKind.ContainerArchivePut)
                preload.InvalidateAll();
            var spec = specs.FromInspect(container, defaults.Runtime);
            if (await preload.EnsureAsync(container, spec, deadline.Token) is { } problem)
                LogNotServed(log, container.Id, problem);
        }
        catch (Exception e) when (e is EngineException or OperationCanceledException)
        {
            LogNotServed(log, route.Name, e.Message);
        }
    }

    /// <summary>The new container's ID, when its body mounts a volume of ours or what <c>--volumes-from</c>
    /// brings.</summary>
    string? CreatedId(AuthZRequest apiCall)
    {
        if (
            apiCall is not { ResponseStatusCode: 201, RequestBody: { } json, ResponseBody: { } answer }
            || !CreateBody.TryRead(json, out var body, out _)
        )
            return null;
        if (
            body.HostConfig?.VolumesFrom is not { Count: > 0 }
            && specs.FromCreateBody(body, null, [], "").Directory is null
        )
            return null;
        try
        {
            using var created = JsonDocument.Parse(answer);
            return created.RootElement.TryGetProperty("Id", out var id) ? id.GetString() : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            LogNotServed(log, "", e.Message);
            return null;
        }
    }

    /// <summary>After such a call: there is no room to look at the container now.</summary>
    public void NotServed(EngineRoute route, string problem) => LogNotServed(log, route.Name, problem);

    [LoggerMessage(603, LogLevel.Warning, "The preload of {Container} is not in place yet: {Problem}")]
    static partial void LogNotServed(ILogger logger, string container, string problem);
}
