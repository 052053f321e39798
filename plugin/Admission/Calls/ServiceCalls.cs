// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges services, as far as their tasks can be described before they run.</summary>
sealed class ServiceCalls(IEngineClient engine, CreateResolver creates, IGpuInventory gpus, NamedVolumes named)
{
    /// <summary>Judges a service by the tasks that its body describes; with <c>rollback=previous</c> also by the tasks
    /// that come back. Throws <see cref="EngineException"/>.</summary>
    public async ValueTask<Verdict> JudgeAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        if (!StrictBodies.Service.TryRead(apiCall.RequestBody, out var body, out var problem))
            return UnreadableBody.Refuse("service", problem);
        apiCall.ReleaseBodies();
        if (body.MisplacedQuota is { } quota)
            return Verdict.Refused(
                "service-label",
                Advice.MisplacedLabel(
                    Advice.ToolOf(body.Labels, isService: true),
                    Quoted.Text(quota),
                    isNew: route.Name.Length == 0
                )
            );
        var verdict = await JudgeSpecAsync(body, route, policy, requester, cancel);
        return
            verdict.IsAllowed
            && !policy.IsBuiltIn
            && EngineRoute.QueryValues(apiCall.RequestUri ?? "", "rollback").Contains("previous")
            ? verdict.And(await OfRollbackAsync(apiCall, route, policy, requester, cancel))
            : verdict;
    }

    /// <summary>What then counts is not the body but what the service was before, maybe an admin's. The engine takes no
    /// other version than the one that the call names.</summary>
    async ValueTask<Verdict> OfRollbackAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        if (await engine.PreviousServiceAsync(route.Name, cancel) is not { Spec: { } spec } previous)
            return Verdict.Allowed; // the engine says so itself
        if (
            !EngineRoute
                .QueryValues(apiCall.RequestUri ?? "", "version")
                .All(version => version == previous.Version.ToString(CultureInfo.InvariantCulture))
        )
            return Verdict.RefusedByPolicyFile(
                policy,
                "rollback",
                $"the service {Quoted.Text(route.Name)} is being changed by another caller: try again"
            );
        if (!StrictBodies.Service.TryRead(spec, out var body, out var problem))
            return Verdict.RefusedByPolicyFile(
                policy,
                "rollback",
                $"what the service {Quoted.Text(route.Name)} was before cannot be read ({problem}): update it "
                    + "to what you want, without --rollback"
            );
        var verdict = await JudgeSpecAsync(body, route, policy, requester, cancel);
        return verdict with
        {
            Reasons =
            [
                .. verdict.Reasons.Select(reason =>
                    reason with
                    {
                        Message = $"--rollback brings back what you could not ask for yourself: {reason.Message}",
                    }
                ),
            ],
        };
    }

    /// <summary>As far as it can be told before a task runs: what the image adds is known where this engine has
    /// it.</summary>
    async ValueTask<Verdict> JudgeSpecAsync(
        ServiceBody body,
        EngineRoute route,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        if (body.TaskTemplate?.PluginSpec is not null && !requester.IsAdmin)
            return ResourceCalls.PluginsOfAdmins;
        var onHostNetwork = !policy.AllowHostNamespaces && await JoinsHostNetworkAsync(body, cancel);
        var task = body.ToCreateBody(onHostNetwork);
        // What the image adds is asked for the file's rules alone.
        var (spec, refusal) = await creates.DescribeAsync(task, withImage: true, needsImage: !policy.IsBuiltIn, cancel);
        if (spec is null)
            return Verdict.RefusedByPolicyFile(policy, refusal!.Rule, refusal.Message);
        if (policy.AllowBindMounts is not null)
            spec = spec with
            {
                HostPaths = [.. spec.HostPaths, .. await named.FindHostPathsAsync(task.HostConfig, cancel)],
            };
        spec = spec with { KnowsSubpath = route.KnowsSubpath };
        return PolicyRules.OfSubpath(route, spec).And(PolicyRules.Evaluate(spec, requester, gpus.Devices, policy));
    }

    /// <summary>The engine takes a network's name, its ID in the engine or in the swarm, and the beginning of
    /// one.</summary>
    async ValueTask<bool> JoinsHostNetworkAsync(ServiceBody body, CancellationToken cancel)
    {
        foreach (var network in (body.TaskTemplate?.Networks ?? []).Concat(body.Networks ?? []))
            if (
                network?.Target is { Length: > 0 } target
                && (target == "host" || await engine.NetworkNameAsync(target, cancel) == "host")
            )
                return true;
        return false;
    }
}
