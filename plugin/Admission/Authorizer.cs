// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Calls;
using Runai.GpuMemory.Admission.DryRun;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Preload;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission;

/// <summary>Answers the engine about API calls: a switchboard over <see cref="CreateGate"/>, <see cref="StartGate"/>
/// and <see cref="ResourceCalls"/>, which judge them.</summary>
sealed partial class Authorizer(
    CreateGate create,
    StartGate start,
    ResourceCalls resources,
    VolumeReads reads,
    SelfCalls own,
    PolicySource policy,
    JudgedCalls judged,
    NamesInMotion motion,
    LeftBehind left,
    PreloadInjector preload,
    IGpuInventory gpus,
    DecisionLog decisions
) : IAuthorizer
{
    /// <summary>Most calls are answered by this alone. Of those that reach into a container only a rename matters
    /// without a policy file: it could give one the form of an ID as its name. That the engine asks at all is noted
    /// here too.</summary>
    public bool NeedsDecision(string method, string uri)
    {
        own.NoteAuthorizationCall(uri);
        if (method.Length == 0 || uri.Length == 0)
            return true;
        var (kind, name, _) = EngineRoute.Match(method, uri);
        return kind != RouteKind.Exempt
            && (kind != RouteKind.VolumeGet || reads.IsOurs(name))
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
            return decisions.Answer(
                route,
                apiCall with
                {
                    User = CallBounds.Cut(apiCall.User),
                },
                Verdict.Refused("call-length", tooLong)
            );
        if (route.Kind == RouteKind.VolumeGet)
            return ReadVolume(apiCall, route);
        if (HiddenBodies.FindProblem(apiCall, route.Kind, policy.Current) is { } hidden)
            return start.Refuse(apiCall, route, Verdict.Refused("call-body", hidden));
        var dryRun = DryRunRequest.Read(apiCall.RequestHeaders, out var unreadable);
        if (!MayBeDryRun(apiCall.RequestMethod))
            dryRun = null;
        if (route.Kind == RouteKind.Exempt && dryRun is null)
            return AuthZAnswer.Allowed;
        using var place = judged.TryEnter(ContainerOf(apiCall, route), apiCall.User ?? "", out var busy);
        if (place is null)
            return start.Refuse(apiCall, route, Verdict.Refused("engine", busy));
        if (dryRun is not null)
            return await DryRunAsync(dryRun, unreadable, apiCall, route, cancel);
        if (!NeedsBody(route.Kind))
            apiCall.ReleaseBodies();
        using var names = motion.Of(apiCall);
        if (await ReachNamesAsync(names, apiCall, route, cancel) is { } moving)
            return decisions.Answer(route, apiCall, Verdict.Refused("reach", moving));
        var answer = route.Kind switch
        {
            RouteKind.ContainerCreate => await create.JudgeAsync(apiCall, route, names, cancel),
            RouteKind.ContainerStart or RouteKind.ContainerRestart => await start.JudgeAsync(apiCall, route, cancel),
            RouteKind.ContainerArchivePut => BeforeArchive(await SideAsync(apiCall, route, cancel)),
            _ => await SideAsync(apiCall, route, cancel),
        };
        if (answer.Allow && await MoveNamesAsync(names, apiCall, route, cancel) is { } held)
            return decisions.Answer(route, apiCall, Verdict.Refused("container-name", held));
        if (answer.Allow)
            names.Allowed();
        return answer;
    }

    /// <summary>Asked ever so often, so just refusals are in the log.</summary>
    AuthZAnswer ReadVolume(AuthZRequest apiCall, EngineRoute route) =>
        reads.Judge(apiCall, route.Name, policy.Current) is { IsAllowed: false } refusal
            ? decisions.Answer(route, apiCall, refusal)
            : AuthZAnswer.Allowed;

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
            start.LookAfterRefused(EngineRoute.Match(method, uri));
        return AuthZAnswer.Denied(problem);
    }

    async ValueTask<AuthZAnswer> SideAsync(AuthZRequest apiCall, EngineRoute route, CancellationToken cancel)
    {
        var started = decisions.Start();
        return decisions.Answer(
            route.Kind,
            apiCall,
            route.Name,
            null,
            await resources.JudgeAsync(apiCall, route, policy.Current, cancel),
            started
        );
    }

    public async ValueTask<AuthZAnswer> AfterAsync(AuthZRequest apiCall, CancellationToken cancel)
    {
        own.NoteAuthorizationCall(apiCall.RequestUri);
        var route = EngineRoute.Match(apiCall.RequestMethod ?? "", apiCall.RequestUri ?? "");
        if (route.Kind is RouteKind.Exempt or RouteKind.VolumeGet || own.IsOwn(apiCall.RequestHeaders))
            return AuthZAnswer.Allowed;
        motion.Answered(apiCall);
        if (route.Kind is RouteKind.ContainerStart or RouteKind.ContainerRestart)
            start.Answered(apiCall, route);
        using var place = judged.TryEnter(ContainerOf(apiCall, route), apiCall.User ?? "", out var busy);
        if (place is null)
        {
            if (route.Kind == RouteKind.ContainerArchivePut)
                preload.InvalidateAll();
            create.NotServed(route, busy);
            return AuthZAnswer.Allowed;
        }
        if (route.Kind is RouteKind.ContainerCreate or RouteKind.ContainerArchivePut)
            await create.InjectPreloadAsync(apiCall, route, cancel);
        if (route.Kind is RouteKind.ContainerStart or RouteKind.ContainerRestart)
        {
            apiCall.ReleaseBodies();
            await start.ReleaseFailedAsync(apiCall, route, cancel);
        }
        return AuthZAnswer.Allowed;
    }

    /// <summary>The tar that comes may hold an ld.so.preload, or write one through a link in the container. So no
    /// container is taken on trust from here on, and this one is looked at again afterwards.</summary>
    AuthZAnswer BeforeArchive(AuthZAnswer answer)
    {
        if (answer.Allow)
            preload.InvalidateAll();
        return answer;
    }
}
