using System.Text.Json;
using Runai.GpuMemory.Admission.Calls;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.DryRun;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Preload;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission;

/// <summary>Answers the engine about API calls: judges containers when they are created (early and friendly) and when
/// they start (the decision that counts), and sees
/// to it that they load the shim.</summary>
sealed partial class Authorizer(
    IEngineClient engine,
    ContainerSpecMapper specs,
    CreateResolver creates,
    EngineDefaults defaults,
    IGpuInventory gpus,
    PreloadInjector preload,
    SelfCalls own,
    PolicySource policy,
    GpuReservations ledger,
    StartCalls starts,
    JudgedCalls judged,
    NamesInMotion motion,
    AllowedStarts allowed,
    LeftBehind left,
    ResourceCalls side,
    ContainerReach reach,
    NamedVolumes named,
    IVolumeCatalog volumes,
    VolumeMakers makers,
    DecisionLog decisions,
    TimeProvider time,
    ILogger<Authorizer> log
) : IAuthorizer
{
    /// <summary>Within 5 s the user has an answer, whatever the engine does.</summary>
    static readonly TimeSpan Deadline = TimeSpan.FromSeconds(4.5);

    /// <summary>Of other containers, the most that a create may name: more are refused by the reach of each.</summary>
    const int MostNames = 16;

    /// <summary>The engine's answer to a start or restart that it did.</summary>
    const int Started = 204;

    /// <summary>Most calls are answered by this alone. Of those that reach into a container only a rename matters
    /// without a policy file: it could give one the form of an ID as its name. That the engine asks at all is noted
    /// here too.</summary>
    public bool NeedsDecision(string method, string uri)
    {
        own.NoteAuthorizationCall(uri);
        if (method.Length == 0 || uri.Length == 0)
            return true;
        var kind = EngineRoute.Match(method, uri).Kind;
        return kind != RouteKind.Exempt
            && !(policy.Current.IsBuiltIn && EngineRoutes.IsReach(kind) && kind != RouteKind.ContainerRename);
    }

    public async ValueTask<AuthZAnswer> BeforeAsync(AuthZRequest apiCall, CancellationToken cancel)
    {
        own.NoteAuthorizationCall(apiCall.RequestUri);
        if (string.IsNullOrEmpty(apiCall.RequestMethod) || string.IsNullOrEmpty(apiCall.RequestUri))
        {
            left.RefusedUnknown();
            return AuthZAnswer.Denied("the engine did not say which API call it asks about; try again");
        }
        var route = EngineRoute.Match(apiCall.RequestMethod, apiCall.RequestUri);
        if (own.IsOwn(apiCall.RequestHeaders))
            return AuthZAnswer.Allowed;
        if (CallBounds.FindProblem(apiCall, route.Kind) is { } tooLong)
            return Answer(
                route.Kind,
                apiCall with
                {
                    User = CallBounds.Cut(apiCall.User),
                },
                route.Name,
                null,
                Verdict.Refused("call-length", tooLong),
                decisions.Start()
            );
        if (HiddenBodies.FindProblem(apiCall, route.Kind, policy.Current) is { } hidden)
            return Refuse(apiCall, route, Verdict.Refused("call-body", hidden));
        var question = DryRunRequest.Read(apiCall.RequestHeaders, out var unreadable);
        if (!MayBeDryRun(apiCall.RequestMethod))
            question = null;
        if (route.Kind == RouteKind.Exempt && question is null)
            return AuthZAnswer.Allowed;
        using var place = judged.TryEnter(ContainerOf(apiCall, route), apiCall.User ?? "", out var busy);
        if (place is null)
            return Refuse(apiCall, route, Verdict.Refused("engine", busy));
        if (question is not null)
            return await AnswerAsync(question, unreadable, apiCall, route, cancel);
        if (!NeedsBody(route.Kind))
            apiCall.ReleaseBodies();
        using var names = motion.Of(apiCall);
        if (await ReachNamesAsync(names, apiCall, route, cancel) is { } moving)
            return Answer(route.Kind, apiCall, route.Name, null, Verdict.Refused("reach", moving), decisions.Start());
        var answer = route.Kind switch
        {
            RouteKind.ContainerCreate => await CreateAsync(apiCall, route, names, cancel),
            RouteKind.ContainerStart or RouteKind.ContainerRestart => await StartAsync(apiCall, route, cancel),
            RouteKind.ContainerArchivePut => BeforeArchive(await SideAsync(apiCall, route, cancel)),
            _ => await SideAsync(apiCall, route, cancel),
        };
        if (answer.Allow && await MoveNamesAsync(names, apiCall, route, cancel) is { } held)
            return Answer(
                route.Kind,
                apiCall,
                route.Name,
                null,
                Verdict.Refused("container-name", held),
                decisions.Start()
            );
        if (answer.Allow)
            names.Allowed();
        return answer;
    }

    /// <summary>The containers that a judged call names keep their names until the engine has looked.</summary>
    /// <returns>Null, or why the call is refused.</returns>
    async ValueTask<string?> ReachNamesAsync(
        CallNames names,
        AuthZRequest apiCall,
        EngineRoute route,
        CancellationToken cancel
    )
    {
        var settings = policy.Current;
        if (settings.IsAudit || !ContainerReach.IsJudged(settings.RequesterOf(apiCall), settings))
            return null;
        foreach (
            var name in EngineRoutes
                .ContainersOf(route, apiCall.RequestUri ?? "")
                .Where(name => !ContainerNames.IsWholeId(name))
                .Distinct()
        )
            if (await names.ReachAsync(name, cancel) is { } problem)
                return problem;
        return null;
    }

    /// <summary>A name goes to a container, whoever gives it, when judged calls that meant another by it are
    /// done.</summary>
    /// <returns>Null, or why the call is refused.</returns>
    async ValueTask<string?> MoveNamesAsync(
        CallNames names,
        AuthZRequest apiCall,
        EngineRoute route,
        CancellationToken cancel
    )
    {
        if (policy.Current is { IsBuiltIn: true } or { IsAudit: true })
            return null;
        foreach (
            var name in EngineRoutes
                .NewNamesOf(route.Kind, apiCall.RequestUri ?? "")
                .Select(name => name.TrimStart('/'))
                .Where(name => name != route.Name.TrimStart('/'))
                .Distinct()
        )
            if (await names.MoveAsync(name, cancel) is { } problem)
                return problem;
        return null;
    }

    /// <summary>The others are judged without it, or read it before they wait for the engine.</summary>
    static bool NeedsBody(RouteKind kind) =>
        kind
            is RouteKind.ContainerCreate
                or RouteKind.ContainerStart
                or RouteKind.ContainerRestart
                or RouteKind.ExecCreate
                or RouteKind.VolumeCreate
                or RouteKind.ServiceChange
                or RouteKind.Checkpoint
                or RouteKind.NetworkConnect;

    /// <summary>Empty where the call names none, or not in its URI.</summary>
    static string ContainerOf(AuthZRequest apiCall, EngineRoute route) =>
        EngineRoutes.ContainersOf(route, apiCall.RequestUri ?? "").FirstOrDefault("");

    public AuthZAnswer Unread(string problem, string? method, string? uri)
    {
        if (method is not null && uri is not null)
            LookAfterRefused(EngineRoute.Match(method, uri));
        return AuthZAnswer.Denied(problem);
    }

    void LookAfterRefused(EngineRoute route)
    {
        if (route.Kind is RouteKind.ContainerStart or RouteKind.ContainerRestart)
            left.Refused(route.Name);
    }

    /// <summary>A refusal before anybody looked at what the call is about.</summary>
    AuthZAnswer Refuse(AuthZRequest apiCall, EngineRoute route, Verdict refusal)
    {
        LookAfterRefused(route);
        return Answer(route.Kind, apiCall, route.Name, null, refusal, decisions.Start());
    }

    async ValueTask<AuthZAnswer> SideAsync(AuthZRequest apiCall, EngineRoute route, CancellationToken cancel)
    {
        var started = decisions.Start();
        return Answer(
            route.Kind,
            apiCall,
            route.Name,
            null,
            await JudgeSideAsync(apiCall, route, policy.Current, cancel),
            started
        );
    }

    async ValueTask<Verdict> JudgeSideAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings settings,
        CancellationToken cancel
    )
    {
        using var deadline = new EngineDeadline(Deadline, time, cancel);
        try
        {
            return await side.JudgeAsync(apiCall, route, settings, deadline.Token);
        }
        catch (Exception e) when (deadline.IsNoAnswer(e))
        {
            var problem =
                "the GPU memory plugin could not learn from the engine what "
                + $"{(route.Name.Length == 0 ? "is asked for" : Quoted.Text(route.Name) + " is")}, so the call is "
                + "refused: try again";
            // About these the engine is asked for the file's rules alone.
            return
                route.Kind
                    is RouteKind.ServiceChange
                        or RouteKind.Build
                        or RouteKind.Checkpoint
                        or RouteKind.ContainerArchivePut
                || EngineRoutes.IsReach(route.Kind)
                ? Verdict.RefusedByPolicyFile(settings, "engine", problem)
                : Verdict.Refused("engine", problem);
        }
    }

    public async ValueTask<AuthZAnswer> AfterAsync(AuthZRequest apiCall, CancellationToken cancel)
    {
        own.NoteAuthorizationCall(apiCall.RequestUri);
        var route = EngineRoute.Match(apiCall.RequestMethod ?? "", apiCall.RequestUri ?? "");
        if (route.Kind == RouteKind.Exempt || own.IsOwn(apiCall.RequestHeaders))
            return AuthZAnswer.Allowed;
        motion.Answered(apiCall);
        if (route.Kind is RouteKind.ContainerStart or RouteKind.ContainerRestart)
            Answered(apiCall, route);
        using var place = judged.TryEnter(ContainerOf(apiCall, route), apiCall.User ?? "", out var busy);
        if (place is null)
        {
            if (route.Kind == RouteKind.ContainerArchivePut)
                preload.ForgetAll();
            LogNotServed(log, route.Name, busy);
            return AuthZAnswer.Allowed;
        }
        if (route.Kind is RouteKind.ContainerCreate or RouteKind.ContainerArchivePut)
            await InjectPreloadAsync(apiCall, route, cancel);
        if (route.Kind is RouteKind.ContainerStart or RouteKind.ContainerRestart)
        {
            apiCall.ReleaseBodies();
            // 204: it started. One that runs already, or whose start failed, shows some other status here, not always
            // its own.
            if (apiCall.ResponseStatusCode != Started)
                await ReleaseFailedStartAsync(route, cancel);
        }
        return AuthZAnswer.Allowed;
    }

    void Answered(AuthZRequest apiCall, EngineRoute route)
    {
        if (starts.Answered(apiCall, route.Name) is { } id && apiCall.ResponseStatusCode == Started)
            ledger.Succeeded(id);
    }

    async ValueTask<AuthZAnswer> CreateAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        CallNames names,
        CancellationToken cancel
    )
    {
        var started = decisions.Start();
        var settings = policy.Current;
        var (spec, verdict) = await JudgeCreateAsync(apiCall, route, settings, GpuHoldings.None, names, cancel);
        if (verdict.Allow)
            verdict = PolicyRules.OfSubpath(route, spec!).And(verdict);
        if (verdict.Allow)
            foreach (
                var volume in spec!
                    .QuotaMounts.Select(mount => mount.Volume)
                    .Where(volume => volumes.Find(volume) is null)
            )
                makers.Expect(volume, settings.OwnerOf(apiCall)); // the engine makes it now
        return Answer(RouteKind.ContainerCreate, apiCall, "", spec, verdict, started);
    }

    /// <summary>No spec where the body cannot be read. Without names it is a question, and the image is looked
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
        if (!name.Allow)
            return (null, name);
        var problem =
            "the engine did not pass it on, which it does for the type application/json only and, by its "
            + "version, up to 1 or 4 MiB";
        if (apiCall.RequestBody is not { Length: > 0 } json || !CreateBody.TryRead(json, out var body, out problem))
            return (
                null,
                Verdict.Refused(
                    "create-body",
                    $"the body of this create call cannot be read in one way only, so it is refused: {problem}"
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
                verdict.Allow
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
        using var deadline = new EngineDeadline(Deadline, time, cancel);
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
                        .Take(MostNames)
                )
                    if (await names.ReachAsync(name, deadline.Token) is { } moving)
                        return (spec, Verdict.Refused("reach", moving));
            var linked =
                links.Length == 0
                    ? Verdict.Allowed
                    : await reach.JudgeAsync("--link", links, requester, settings, deadline.Token);
            return (spec, linked.And(await JudgeJoinedAsync(joined, spec, requester, settings, deadline.Token)));
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

    ValueTask<Verdict> JudgeJoinedAsync(
        IReadOnlyList<string> names,
        ContainerSpec spec,
        Requester requester,
        PolicySettings settings,
        CancellationToken cancel
    ) =>
        names.Count == 0 || settings.IsExempt(spec, requester)
            ? new(Verdict.Allowed)
            : reach.JudgeAsync("--pid, --ipc or --network container:", names, requester, settings, cancel);

    async ValueTask<AuthZAnswer> StartAsync(AuthZRequest apiCall, EngineRoute route, CancellationToken cancel)
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
        using var deadline = new EngineDeadline(Deadline, time, cancel);
        ContainerSpec? spec = null;
        ContainerInspect? container = null;
        Verdict verdict;
        try
        {
            container = await engine.InspectContainerAsync(route.Name, deadline.Token);
            var isJudged = ContainerReach.IsJudged(requester, settings) && !ContainerNames.IsWholeId(route.Name);
            if (
                isJudged
                && (
                    ContainerReach.FindNameProblem(route.Name)
                    ?? (container is null ? ContainerReach.NoContainer(route.Name) : null)
                )
                    is { } unreachable
                && Verdict.RefusedByPolicyFile(settings, "reach", unreachable) is { Allow: false } refusal
            )
                return Answer(route.Kind, apiCall, route.Name, null, refusal, started);
            if (container is null)
            {
                starts.Allowed(apiCall, route.Name, null);
                return AuthZAnswer.Allowed; // the engine says so itself
            }
            spec = specs.FromInspect(container, defaults.Runtime) with { KnowsSubpath = route.KnowsSubpath };
            var checkpoint = ResourceCalls.OfCheckpointFolders(
                EngineRoute.QueryValues(apiCall.RequestUri ?? "", "checkpoint-dir"),
                settings,
                requester
            );
            verdict = checkpoint.Allow
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
        if (verdict.Allow && container is not null)
        {
            starts.Allowed(apiCall, route.Name, container.Id);
            if (spec?.QuotaMounts.Count > 0)
                allowed.Note(new(container.Id, container.Name, verdict));
        }
        else if (container is null or { HostConfig.AutoRemove: true, State.Status: "created" })
            left.Refused(container?.Id ?? route.Name);
        return Answer(route.Kind, apiCall, route.Name, spec, verdict, started);
    }

    static string NextTry(ClientTool tool, ContainerInspect container) =>
        Advice.NextTry(tool, container.Name.TrimStart('/'), container.State.Status == "created");

    /// <summary>The container of a start that does not fit now is there already, and keeps its name: another <c>docker
    /// run</c> would fail on that.</summary>
    static Verdict WithNextTry(Verdict verdict, ContainerInspect container, ClientTool tool) =>
        verdict.Allow
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
            await ledger.Rebuilt.WaitAsync(cancel);
            if (!gpus.IsKnown && !settings.IsAudit)
                return Verdict.Refused(
                    "engine",
                    "the driver has not said yet which GPUs this host has, so nobody knows what is left of "
                        + "them: try again"
                );
        }
        Verdict Judge(GpuHoldings? holdings) => PolicyRules.Evaluate(spec, requester, gpus.Devices, settings, holdings);
        var joined = await JudgeJoinedAsync(
            container.Joined ?? container.HostConfig.NamesOfJoined(),
            spec,
            requester,
            settings,
            cancel
        );
        var verdict = joined.And(Judge(ledger.HeldByOthers(container.Id)));
        if (verdict.Allow && await preload.EnsureAsync(container, spec, cancel) is { } problem)
            return verdict with { Reasons = [new("preload", problem)] };
        // Last, so that nothing is held for a start that is refused, and what runs loses nothing by one.
        return verdict.Allow ? joined.And(ledger.Decide(container, spec, requester.Name, Judge)) : verdict;
    }

    /// <summary>The tar that comes may hold an ld.so.preload, or write one through a link in the container. So no
    /// container is taken on trust from here on, and this one is looked at again afterwards.</summary>
    AuthZAnswer BeforeArchive(AuthZAnswer answer)
    {
        if (answer.Allow)
            preload.ForgetAll();
        return answer;
    }

    /// <summary>After a create or an upload: the shim goes into the container, or again. What fails here is tried
    /// again, and told to the user, at the start.</summary>
    async ValueTask InjectPreloadAsync(AuthZRequest apiCall, EngineRoute route, CancellationToken cancel)
    {
        using var deadline = new EngineDeadline(Deadline, time, cancel);
        try
        {
            // An upload counts whatever came of it: the engine says 0 where it went well, and what failed half-way has
            // written before.
            var name = route.Kind == RouteKind.ContainerCreate ? CreatedId(apiCall) : route.Name;
            apiCall.ReleaseBodies();
            if (name is null || await engine.InspectContainerAsync(name, deadline.Token) is not { } container)
                return;
            if (route.Kind == RouteKind.ContainerArchivePut)
                preload.ForgetAll();
            var spec = specs.FromInspect(container, defaults.Runtime);
            if (await preload.EnsureAsync(container, spec, deadline.Token) is { } problem)
                LogNotServed(log, container.Id, problem);
        }
        catch (Exception e) when (e is EngineException or OperationCanceledException)
        {
            LogNotServed(log, route.Name, e.Message);
        }
    }

    /// <summary>What an allowed start holds of the GPUs goes back when the container does not run after all.</summary>
    async ValueTask ReleaseFailedStartAsync(EngineRoute route, CancellationToken cancel)
    {
        using var deadline = new EngineDeadline(Deadline, time, cancel);
        try
        {
            if (await engine.InspectContainerAsync(route.Name, deadline.Token) is not { } container)
                return;
            if (container.State.Running)
                ledger.RunsAlready(container.Id);
            else
                ledger.Failed(container.Id);
        }
        catch (Exception e) when (e is EngineException or OperationCanceledException)
        {
            LogNotTakenBack(log, route.Name, e.Message);
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

    AuthZAnswer Answer(
        RouteKind route,
        AuthZRequest apiCall,
        string container,
        ContainerSpec? spec,
        Verdict verdict,
        long started
    )
    {
        decisions.Write(route, apiCall.User ?? "", container, spec, verdict, started);
        return verdict.Allow ? AuthZAnswer.Allowed : AuthZAnswer.Denied(verdict.Message);
    }

    [LoggerMessage(
        605,
        LogLevel.Debug,
        "Whether the start of {Container} failed will be seen by the next sweep: {Problem}"
    )]
    static partial void LogNotTakenBack(ILogger logger, string container, string problem);

    [LoggerMessage(603, LogLevel.Warning, "The preload of {Container} is not in place yet: {Problem}")]
    static partial void LogNotServed(ILogger logger, string container, string problem);
}
