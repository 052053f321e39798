// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges the calls beside a container's creation and start: which rules each kind of call is for.</summary>
sealed class ResourceCalls(
    ExecCalls execs,
    VolumeCalls volumes,
    ServiceCalls services,
    BuildCalls builds,
    ContainerReach reach,
    TimeProvider time
)
{
    /// <summary>Refuses a plugin change, and a service that installs a plugin on every node.</summary>
    internal static readonly Verdict PluginsOfAdmins = Verdict.Refused(
        "plugins",
        "only admins may change plugins on this machine"
    );

    static readonly Verdict SwarmOfAdmins = Verdict.Refused(
        "swarm",
        "the swarm, whose managers start containers here without asking, is the admins' on this machine: ask one of "
            + "them"
    );

    /// <summary>Judges any call but a container's create and start. If the engine does not answer in time, the call is
    /// refused; where only the policy file judges it, audit mode allows it.</summary>
    public async ValueTask<Verdict> JudgeAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings settings,
        CancellationToken cancel
    )
    {
        using var deadline = EngineDeadline.OfAnswer(time, cancel);
        try
        {
            return await JudgeInTimeAsync(apiCall, route, settings, deadline.Token);
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

    async ValueTask<Verdict> JudgeInTimeAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings policy,
        CancellationToken cancel
    )
    {
        var requester = policy.RequesterOf(apiCall);
        return route.Kind switch
        {
            RouteKind.Unknown when policy.DeniesUnknownRoutes => Verdict.RefusedByPolicyFile(
                policy,
                "unknown-route",
                $"the GPU memory plugin does not know {Quoted.Text(apiCall.RequestMethod)} "
                    + $"{Quoted.Text(route.Name)}, and the policy of this machine refuses what it does not know"
            ),
            RouteKind.PluginChange when !requester.IsAdmin => PluginsOfAdmins,
            RouteKind.Swarm when !requester.IsAdmin => SwarmOfAdmins,
            RouteKind.VolumeRemove => volumes.JudgeRemove(apiCall, route, policy, requester),
            RouteKind.VolumeCreate when !apiCall.HasNoBody => volumes.JudgeCreate(apiCall, policy, requester),
            RouteKind.Checkpoint => CheckpointCalls
                .Judge(apiCall, policy, requester)
                .And(await reach.JudgeAsync("docker checkpoint", [route.Name], requester, policy, cancel)),
            RouteKind.ContainerArchiveGet or RouteKind.ContainerArchivePut => await reach.JudgeAsync(
                "docker cp",
                [route.Name],
                requester,
                policy,
                cancel
            ),
            RouteKind.ContainerAttach => await reach.JudgeAsync(
                "docker attach",
                [route.Name],
                requester,
                policy,
                cancel
            ),
            RouteKind.ContainerExport => await reach.JudgeAsync(
                "docker export",
                [route.Name],
                requester,
                policy,
                cancel
            ),
            RouteKind.ContainerRename => await OfRenameAsync(apiCall, route, policy, requester, cancel),
            RouteKind.Commit => await reach.JudgeAsync(
                "docker commit",
                EngineRoute.QueryValues(apiCall.RequestUri ?? "", "container"),
                requester,
                policy,
                cancel
            ),
            RouteKind.NetworkConnect => NetworkCalls.JudgeConnect(apiCall, policy, requester),
            RouteKind.ExecStart => await execs.JudgeStartAsync(route, policy, requester, cancel),
            RouteKind.ServiceChange => await services.JudgeAsync(apiCall, route, policy, requester, cancel),
            RouteKind.Build => await builds.JudgeAsync(apiCall, policy, requester, cancel),
            RouteKind.ExecCreate => await execs.JudgeCreateAsync(apiCall, route, policy, requester, cancel),
            _ => Verdict.Allowed,
        };
    }

    async ValueTask<Verdict> OfRenameAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        var name = ContainerNames.Judge(EngineRoute.QueryValues(apiCall.RequestUri ?? "", "name"), policy);
        return name.IsAllowed
            ? name.And(await reach.JudgeAsync("docker rename", [route.Name], requester, policy, cancel))
            : name;
    }
}
