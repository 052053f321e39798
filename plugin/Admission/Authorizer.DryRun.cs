using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.DryRun;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission;

/// <summary>Calls that are not to be done, see <see cref="DryRunRequest"/>: judged as if they were, by the same
/// functions, and denied with what was found.</summary>
sealed partial class Authorizer
{
    public bool MayBeDryRun(string method) => method is not ("GET" or "HEAD" or "OPTIONS");

    async ValueTask<AuthZAnswer> AnswerAsync(
        DryRunRequest question,
        string? unreadable,
        AuthZRequest apiCall,
        EngineRoute route,
        CancellationToken cancel
    )
    {
        var inForce = policy.State;
        var settings = inForce.Settings;
        var asker = settings.RequesterOf(apiCall);
        if (unreadable is null && (question.User is not null || question.Policy is not null) && !asker.IsAdmin)
            unreadable =
                "to ask for somebody else, or with another policy, is the admins' on this machine: use a "
                + "certificate of one of \"admins\" in its policy file";
        if (unreadable is not null)
            return AuthZAnswer.Denied(DryRunReport.Unreadable(unreadable).ToString());
        if (question.Policy is { } text)
        {
            var (candidate, problems) = PolicyReader.Read(text);
            if (candidate is null)
                return AuthZAnswer.Denied(DryRunReport.OfProblems(problems).ToString());
            settings = candidate;
        }
        var answer =
            question.IsAboutCall
                ? await JudgeQuestionAsync(
                    question.User is { } user ? apiCall with { User = user, UserAuthNMethod = null } : apiCall,
                    route,
                    settings,
                    question.Policy is null,
                    cancel
                )
            : question.Policy is null ? DryRunReport.OfPolicyInForce(inForce, asker)
            : DryRunReport.OfPolicy(settings, asker);
        return AuthZAnswer.Denied(answer.ToString());
    }

    async ValueTask<DryRunReport> JudgeQuestionAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings settings,
        bool isInForce,
        CancellationToken cancel
    )
    {
        var started = decisions.Start();
        var requester = settings.RequesterOf(apiCall);
        var holdings = ledger.HeldByOthers("");
        ContainerSpec? spec = null;
        Verdict verdict;
        if (!NeedsBody(route.Kind))
            apiCall.ReleaseBodies();
        if (route.Kind == RouteKind.ContainerCreate)
            (spec, verdict) = await JudgeCreateAsync(apiCall, route, settings, holdings, names: null, cancel);
        else if (route.Kind is RouteKind.ContainerStart or RouteKind.ContainerRestart)
        {
            var hasOldBody = HasOldBody(apiCall, route);
            apiCall.ReleaseBodies();
            var (container, problem) = await FindContainerAsync(route, cancel);
            if (container is null)
                return DryRunReport.Unreadable(problem ?? $"there is no container {Quoted.Text(route.Name)}");
            holdings = ledger.HeldByOthers(container.Id);
            spec = specs.FromInspect(container, defaults.Runtime) with { KnowsSubpath = route.KnowsSubpath };
            verdict = hasOldBody ? OldBody : PolicyRules.Evaluate(spec, requester, gpus.Devices, settings, holdings);
            try
            {
                verdict = (
                    await JudgeJoinedAsync(
                        container.Joined ?? container.HostConfig.NamesOfJoined(),
                        spec,
                        requester,
                        settings,
                        cancel
                    )
                ).And(verdict);
            }
            catch (EngineException e)
            {
                verdict = Unknown(route, e);
            }
        }
        else
            verdict =
                route.Kind is RouteKind.Exempt
                    ? Verdict.Allowed
                    : await JudgeSideAsync(apiCall, route, settings, cancel);
        decisions.WriteDryRun(route, requester.Name, spec, verdict, started);
        var answer = DryRunReport.OfVerdict(verdict, requester, settings, isInForce);
        return spec is null ? answer : answer.WithContainer(spec, verdict, gpus.Devices, settings, holdings);
    }

    async ValueTask<(ContainerInspect? Container, string? Problem)> FindContainerAsync(
        EngineRoute route,
        CancellationToken cancel
    )
    {
        using var deadline = new EngineDeadline(Deadline, time, cancel);
        try
        {
            return (await engine.InspectContainerAsync(route.Name, deadline.Token), null);
        }
        catch (Exception e) when (deadline.IsNoAnswer(e))
        {
            return (null, Unknown(route, e).Message);
        }
    }
}
