// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.DryRun;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission;

/// <summary>Calls that are not to be done, see <see cref="DryRunRequest"/>: judged as if they were, by the same
/// functions, and denied with what was found.</summary>
sealed partial class Authorizer
{
    public bool MayBeDryRun(string method) => method is not ("GET" or "HEAD" or "OPTIONS");

    async ValueTask<AuthZAnswer> DryRunAsync(
        DryRunRequest dryRun,
        string? unreadable,
        AuthZRequest apiCall,
        EngineRoute route,
        CancellationToken cancel
    )
    {
        var inForce = policy.State;
        var settings = inForce.Settings;
        var asker = settings.RequesterOf(apiCall);
        if (unreadable is null && (dryRun.User is not null || dryRun.Policy is not null) && !asker.IsAdmin)
            unreadable =
                "only admins may ask for another user, or with another policy, on this machine: use a "
                + "certificate of one of \"admins\" in its policy file";
        if (unreadable is not null)
            return AuthZAnswer.Denied(DryRunReport.Unreadable(unreadable).ToString());
        if (dryRun.Policy is { } text)
        {
            var (candidate, problems) = PolicyReader.Read(text);
            if (candidate is null)
                return AuthZAnswer.Denied(DryRunReport.OfProblems(problems).ToString());
            settings = candidate;
        }
        var isInForce = dryRun.Policy is null;
        DryRunReport answer;
        if (dryRun.IsAboutCall)
            answer = await JudgeDryRunAsync(dryRun.CallOf(apiCall), route, settings, isInForce, cancel);
        else
            answer = isInForce ? DryRunReport.OfPolicyInForce(inForce, asker) : DryRunReport.OfPolicy(settings, asker);
        return AuthZAnswer.Denied(answer.ToString());
    }

    async ValueTask<DryRunReport> JudgeDryRunAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings settings,
        bool isInForce,
        CancellationToken cancel
    )
    {
        var started = decisions.Start();
        if (!NeedsBody(route.Kind))
            apiCall.ReleaseBodies();
        Evaluation? found;
        if (route.Kind == RouteKind.ContainerCreate)
            found = await create.EvaluateAsync(apiCall, route, settings, cancel);
        else if (route.Kind is RouteKind.ContainerStart or RouteKind.ContainerRestart)
        {
            (found, var problem) = await start.EvaluateAsync(apiCall, route, settings, cancel);
            if (found is null)
                return DryRunReport.Unreadable(problem!);
        }
        else
            found = new(
                null,
                route.Kind is RouteKind.Exempt
                    ? Verdict.Allowed
                    : await resources.JudgeAsync(apiCall, route, settings, cancel),
                null
            );
        var (spec, verdict, holdings) = found;
        var requester = settings.RequesterOf(apiCall);
        decisions.WriteDryRun(route, requester.Name, spec, verdict, started);
        var answer = DryRunReport.OfVerdict(verdict, requester, settings, isInForce);
        return spec is null ? answer : answer.WithContainer(spec, verdict, gpus.Devices, settings, holdings);
    }
}
