using System.Globalization;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges the calls beside a container's life: exec, volumes, services, builds, plugins.</summary>
sealed class ResourceCalls(
    IEngineClient engine,
    ContainerSpecMapper specs,
    CreateResolver creates,
    IVolumeCatalog volumes,
    VolumeMakers makers,
    EngineDefaults defaults,
    IGpuInventory gpus,
    ContainerReach reach,
    NamedVolumes named,
    TimeProvider time
)
{
    static readonly Verdict PluginsOfAdmins = Verdict.Refused(
        "plugins",
        "plugins are the admins' on this machine: ask one of them"
    );

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
            RouteKind.Unknown => policy.DeniesUnknownRoutes
                ? Verdict.RefusedByPolicyFile(
                    policy,
                    "unknown-route",
                    $"the GPU memory plugin does not know {Quoted.Text(apiCall.RequestMethod)} "
                        + $"{Quoted.Text(route.Name)}, and the policy of this machine refuses what it does not know"
                )
                : Verdict.Allowed,
            RouteKind.PluginChange => requester.IsAdmin ? Verdict.Allowed : PluginsOfAdmins,
            RouteKind.Swarm => requester.IsAdmin
                ? Verdict.Allowed
                : Verdict.Refused(
                    "swarm",
                    "the swarm, whose managers start containers here without asking, is the admins' on this "
                        + "machine: ask one of them"
                ),
            RouteKind.VolumeRemove => requester.IsAdmin
            || volumes.Find(route.Name) is not { } volume
            || (volume.Owner is { } owner && owner == policy.OwnerOf(apiCall))
                ? Verdict.Allowed
                : Verdict.Refused(
                    "quota-volume",
                    $"the volume {Quoted.Text(route.Name)} carries a quota, and only who made it and admins may "
                        + "remove it on this machine"
                ),
            RouteKind.VolumeCreate => apiCall.HasNoBody ? Verdict.Allowed : OfVolume(apiCall, policy, requester),
            RouteKind.Checkpoint => OfCheckpoint(apiCall, policy, requester)
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
            RouteKind.NetworkConnect => OfNetwork(apiCall, policy, requester),
            RouteKind.ExecStart => await OfExecStartAsync(route, policy, requester, cancel),
            RouteKind.ServiceChange => await OfServiceAsync(apiCall, route, policy, requester, cancel),
            RouteKind.Build => await OfBuildAsync(apiCall, policy, requester, cancel),
            RouteKind.ExecCreate => await OfExecAsync(apiCall, route, policy, requester, cancel),
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

    Verdict OfVolume(AuthZRequest apiCall, PolicySettings policy, Requester requester)
    {
        if (!StrictBodies.Volume.TryRead(apiCall.RequestBody, out var body, out var problem))
            return Unreadable("volume", problem);
        var foreign = body.Driver is { Length: > 0 } driver && !volumes.IsThisDriver(driver);
        if (foreign && body.Name is { } name && volumes.Find(name) is not null)
            return Verdict.Refused(
                "quota-volume",
                $"the volume {Quoted.Text(name)} is the GPU memory plugin's: take another name"
            );
        if (body is { Name.Length: > 0, Driver.Length: > 0 } && !foreign && volumes.Find(body.Name) is null)
            makers.Expect(body.Name, policy.OwnerOf(apiCall));
        // A local volume can be a bind under another name.
        return
            body.Driver is null or "" or LocalVolume.Driver
            && !policy.ExemptUsers.Contains(requester.Name)
            && PolicyRules.FindHostPath(LocalVolume.HostPaths(body.DriverOpts), policy, "a volume") is { } refusal
            ? Verdict.RefusedByPolicyFile(policy, "bind-mount", refusal)
            : Verdict.Allowed;
    }

    /// <summary>A name in a network and an address take some hundred bytes.</summary>
    const int MaxConnectBytes = 64 << 10;

    /// <summary>The engine keeps what such a call brings, so calls of megabytes would make a container that takes long
    /// to describe, and never end.</summary>
    static Verdict OfNetwork(AuthZRequest apiCall, PolicySettings policy, Requester requester) =>
        policy.IsBuiltIn
        || requester.IsAdmin
        || policy.ExemptUsers.Contains(requester.Name)
        || apiCall.HasNoBody
        || apiCall.RequestBody is { Length: > 0 and <= MaxConnectBytes }
            ? Verdict.Allowed
            : Verdict.RefusedByPolicyFile(
                policy,
                "network-body",
                "the body of this network connect call "
                    + (
                        apiCall.RequestBody is { Length: > 0 } body
                            ? $"has {body.Length} bytes"
                            : "was not passed on by the engine, as those of megabytes are not"
                    )
                    + $", and at most {MaxConnectBytes} are allowed on this machine: give the container "
                    + "fewer aliases and driver options"
            );

    /// <summary>Whoever may name any folder can remove the policy's.</summary>
    static Verdict OfCheckpoint(AuthZRequest apiCall, PolicySettings policy, Requester requester)
    {
        if (
            apiCall.RequestMethod != "POST"
            || policy.AllowBindMounts is null
            || policy.ExemptUsers.Contains(requester.Name)
        )
            apiCall.ReleaseBodies();
        if (policy.AllowBindMounts is null || policy.ExemptUsers.Contains(requester.Name))
            return Verdict.Allowed;
        var folders = EngineRoute.QueryValues(apiCall.RequestUri ?? "", "dir");
        if (apiCall.RequestMethod == "POST")
        {
            if (!StrictBodies.Checkpoint.TryRead(apiCall.RequestBody, out var body, out var problem))
                return Verdict.RefusedByPolicyFile(policy, "checkpoint-body", UnreadableMessage("checkpoint", problem));
            apiCall.ReleaseBodies();
            folders = folders.Append(body.CheckpointDir ?? "");
        }
        return OfCheckpointFolders(folders, policy, requester);
    }

    /// <summary>A start takes one as well, and whoever may name any can have anything restored.</summary>
    public static Verdict OfCheckpointFolders(
        IEnumerable<string> folders,
        PolicySettings policy,
        Requester requester
    ) =>
        !policy.ExemptUsers.Contains(requester.Name)
        && folders.FirstOrDefault(folder => folder.Length > 0 && !policy.AllowsBind(folder)) is { } found
            ? Verdict.RefusedByPolicyFile(
                policy,
                "bind-mount",
                $"checkpoints in the host's {Quoted.Text(found)} are not allowed on this machine: leave the folder out"
            )
            : Verdict.Allowed;

    async ValueTask<Verdict> OfServiceAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        if (!StrictBodies.Service.TryRead(apiCall.RequestBody, out var body, out var problem))
            return Unreadable("service", problem);
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
        var verdict = await OfServiceAsync(body, route, policy, requester, cancel);
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
                $"the service {Quoted.Text(route.Name)} is being changed by somebody else: try again"
            );
        if (!StrictBodies.Service.TryRead(spec, out var body, out var problem))
            return Verdict.RefusedByPolicyFile(
                policy,
                "rollback",
                $"what the service {Quoted.Text(route.Name)} was before cannot be read ({problem}): update it "
                    + "to what you want, without --rollback"
            );
        var verdict = await OfServiceAsync(body, route, policy, requester, cancel);
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
    async ValueTask<Verdict> OfServiceAsync(
        ServiceBody body,
        EngineRoute route,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        if (body.TaskTemplate?.PluginSpec is not null && !requester.IsAdmin)
            return PluginsOfAdmins;
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

    async ValueTask<Verdict> OfExecAsync(
        AuthZRequest apiCall,
        EngineRoute route,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        if (!StrictBodies.Exec.TryRead(apiCall.RequestBody, out var body, out var problem))
            return Unreadable("exec", problem);
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
    async ValueTask<Verdict> OfExecStartAsync(
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

    async ValueTask<Verdict> OfBuildAsync(
        AuthZRequest apiCall,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        foreach (var parent in EngineRoute.QueryValues(apiCall.RequestUri ?? "", "cgroupparent"))
            if (PolicyRules.FindForeignControlGroup(parent) is { } problem)
                return Verdict.Refused("cgroup-parent", problem);
        if (policy.ExemptUsers.Contains(requester.Name) || (policy.AllowHostNamespaces && requester.IsAdmin))
            return Verdict.Allowed;
        var modes = EngineRoute.QueryValues(apiCall.RequestUri ?? "", "networkmode").ToArray();
        if (modes.Sum(mode => (long)mode.Length) > CallBounds.MostUri)
            return Verdict.Refused(
                "call-length",
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"the networks that this build call names are longer than {CallBounds.MostUri} characters: "
                        + $"name one network"
                )
            );
        apiCall.ReleaseAll();
        foreach (var mode in policy.AllowHostNamespaces ? [] : modes)
            if (
                mode == "host"
                || (
                    mode.StartsWith("container:", StringComparison.Ordinal)
                    && await engine.InspectContainerAsync(mode["container:".Length..], cancel)
                        is { HostConfig.NetworkMode: "host" }
                )
            )
                return Verdict.RefusedByPolicyFile(
                    policy,
                    "host-namespace",
                    $"docker build --network {Quoted.Text(mode)} is not allowed on this machine: leave it out, "
                        + "or ask an admin to exempt you"
                );
        var joined = modes.SelectMany(mode => new HostConfig { NetworkMode = mode }.NamesOfJoined()).ToArray();
        // The builder looks for the container at each step.
        if (
            ContainerReach.IsJudged(requester, policy)
            && Array.Find(joined, name => !ContainerNames.IsWholeId(name)) is { } moving
        )
            return Verdict.RefusedByPolicyFile(
                policy,
                "reach",
                $"docker build --network container:{Quoted.Text(moving)} could come to mean another container "
                    + "while it builds: write the whole ID (docker inspect -f '{{.Id}}')"
            );
        return await reach.JudgeAsync("docker build --network", joined, requester, policy, cancel);
    }

    static Verdict Unreadable(string what, string problem) =>
        Verdict.Refused($"{what}-body", UnreadableMessage(what, problem));

    static string UnreadableMessage(string what, string problem) =>
        $"the body of this {what} call cannot be read in one way only, so it is refused: {problem}";
}
