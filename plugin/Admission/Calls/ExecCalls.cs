// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges what is to run in a container beside its own program.</summary>
sealed class ExecCalls(IEngineClient engine, ContainerSpecMapper specs, EngineDefaults defaults, ContainerReach reach)
{
    /// <summary>Judges an exec by its container, <c>--privileged</c>, and an environment without the shim where only
    /// <c>LD_PRELOAD</c> loads it. Throws <see cref="EngineException"/>.</summary>
    public async ValueTask<Verdict> JudgeCreateAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        if (!StrictBodies.Exec.TryRead(apiCall.RequestBody, out var body, out var problem))
            return UnreadableBody.Refuse("exec", problem);
        apiCall.ReleaseBodies();
        var verdict = await reach.JudgeAsync("docker exec", [route.Name], requester, policy, cancel);
        if (body.Privileged && !MayBePrivileged(policy, requester))
            verdict = Verdict
                .RefusedByPolicyFile(
                    policy,
                    "privileged",
                    "docker exec --privileged is not allowed on this machine: leave it out, or ask an admin to "
                        + "exempt you"
                )
                .And(verdict);
        return verdict.IsAllowed ? verdict.And(await OfExecEnvironmentAsync(body, route, cancel)) : verdict;
    }

    async ValueTask<Verdict> OfExecEnvironmentAsync(ExecBody body, EngineRoute route, CancellationToken cancel)
    {
        if (
            body.Env?.LastOrDefault(e => e.Split('=')[0] == "LD_PRELOAD") is not { } preload
            || await engine.InspectContainerAsync(route.Name, cancel) is not { } container
        )
            return Verdict.Allowed;
        var spec = specs.FromInspect(container, defaults.Runtime);
        return
            spec is { PreloadsByEnvironment: true, PreloadsByMount: false, Directory: { } directory }
            && !preload[(preload.IndexOf('=', StringComparison.Ordinal) + 1)..].Split(':', ' ').Contains(directory.Shim)
            ? Verdict.Refused(
                "preload",
                "the container's quota is loaded by LD_PRELOAD, and this exec changes it: write -e "
                    + $"LD_PRELOAD={Quoted.Text(directory.Shim)}:… with what you add"
            )
            : Verdict.Allowed;
    }

    static bool MayBePrivileged(PolicySettings policy, Requester requester) =>
        policy.AllowPrivileged || policy.ExemptUsers.Contains(requester.Name);

    /// <summary>Between its making and its start by whoever made it, its ID stands in the events, and whoever is first
    /// has its input: so he must be one who may make it.</summary>
    public async ValueTask<Verdict> JudgeStartAsync(
        EngineRoute route,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        if (
            policy.IsBuiltIn
            || (requester.IsAdmin && MayBePrivileged(policy, requester))
            || await engine.InspectExecAsync(route.Name, cancel) is not { } exec
        )
            return Verdict.Allowed; // of one that is not there the engine says so itself
        var verdict = exec.ContainerId is { Length: > 0 } container
            ? await reach.JudgeAsync("docker exec", [container], requester, policy, cancel)
            : throw new EngineException(
                $"of the exec {Quoted.Text(route.Name)} it does not say in which container it is"
            );
        return exec.ProcessConfig?.Privileged == false || MayBePrivileged(policy, requester)
            ? verdict
            : Verdict
                .RefusedByPolicyFile(
                    policy,
                    "privileged",
                    "this exec was made with --privileged, which is not allowed on this machine: make one "
                        + "without it, or ask an admin to exempt you"
                )
                .And(verdict);
    }
}
