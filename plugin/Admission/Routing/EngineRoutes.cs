// SPDX-License-Identifier: Apache-2.0
using System.Collections.Frozen;

namespace Runai.GpuMemory.Admission.Routing;

/// <summary>Every route of the Docker Engine API up to 1.51, and of older versions that engines still serve. Within a
/// method, the engine's order: the first match counts.</summary>
static class EngineRoutes
{
    static readonly (string Method, string Pattern, RouteKind Kind)[] Table =
    [
        ("GET", "/_ping", RouteKind.Exempt),
        ("HEAD", "/_ping", RouteKind.Exempt),
        ("GET", "/events", RouteKind.Exempt),
        ("GET", "/info", RouteKind.Exempt),
        ("GET", "/version", RouteKind.Exempt),
        ("GET", "/system/df", RouteKind.Exempt),
        ("POST", "/auth", RouteKind.Exempt),
        ("OPTIONS", "/*", RouteKind.Exempt),

        ("GET", "/containers/json", RouteKind.Exempt),
        ("GET", "/containers/*/export", RouteKind.ContainerExport),
        ("GET", "/containers/*/changes", RouteKind.Exempt),
        ("GET", "/containers/*/json", RouteKind.Exempt),
        ("GET", "/containers/*/top", RouteKind.Exempt),
        ("GET", "/containers/*/logs", RouteKind.Exempt),
        ("GET", "/containers/*/stats", RouteKind.Exempt),
        ("GET", "/containers/*/attach/ws", RouteKind.ContainerAttach),
        ("GET", "/containers/*/archive", RouteKind.ContainerArchiveGet),
        ("HEAD", "/containers/*/archive", RouteKind.ContainerArchiveGet),
        ("GET", "/containers/*/checkpoints", RouteKind.Checkpoint),
        ("GET", "/exec/*/json", RouteKind.Exempt),
        ("POST", "/containers/create", RouteKind.ContainerCreate),
        ("POST", "/containers/*/kill", RouteKind.Exempt),
        ("POST", "/containers/*/pause", RouteKind.Exempt),
        ("POST", "/containers/*/unpause", RouteKind.Exempt),
        ("POST", "/containers/*/restart", RouteKind.ContainerRestart),
        ("POST", "/containers/*/start", RouteKind.ContainerStart),
        ("POST", "/containers/*/stop", RouteKind.Exempt),
        ("POST", "/containers/*/wait", RouteKind.Exempt),
        ("POST", "/containers/*/resize", RouteKind.Exempt),
        ("POST", "/containers/*/attach", RouteKind.ContainerAttach),
        ("POST", "/containers/*/copy", RouteKind.ContainerArchiveGet), // up to 1.23
        ("POST", "/containers/*/exec", RouteKind.ExecCreate),
        ("POST", "/exec/*/start", RouteKind.ExecStart),
        ("POST", "/exec/*/resize", RouteKind.Exempt),
        ("POST", "/containers/*/rename", RouteKind.ContainerRename),
        ("POST", "/containers/*/update", RouteKind.Exempt), // changes no device, mount or label
        ("POST", "/containers/*/checkpoints", RouteKind.Checkpoint),
        ("POST", "/containers/prune", RouteKind.Exempt),
        ("POST", "/commit", RouteKind.Commit), // its labels and environment are judged when a container of it starts
        ("PUT", "/containers/*/archive", RouteKind.ContainerArchivePut),
        ("DELETE", "/containers/*/checkpoints/*", RouteKind.Checkpoint),
        ("DELETE", "/containers/*", RouteKind.Exempt),

        ("GET", "/images/json", RouteKind.Exempt),
        ("GET", "/images/search", RouteKind.Exempt),
        ("GET", "/images/get", RouteKind.Exempt),
        ("GET", "/images/*/get", RouteKind.Exempt),
        ("GET", "/images/*/history", RouteKind.Exempt),
        ("GET", "/images/*/json", RouteKind.Exempt),
        ("GET", "/distribution/*/json", RouteKind.Exempt),
        ("POST", "/images/load", RouteKind.Exempt),
        ("POST", "/images/create", RouteKind.Exempt),
        ("POST", "/images/*/push", RouteKind.Exempt),
        ("POST", "/images/*/tag", RouteKind.Exempt),
        ("POST", "/images/prune", RouteKind.Exempt),
        ("DELETE", "/images/*", RouteKind.Exempt),
        // what it runs passes no call; the reconciliation sees the classic builder's containers
        ("POST", "/build", RouteKind.Build),
        ("POST", "/build/prune", RouteKind.Exempt),
        ("POST", "/build/cancel", RouteKind.Exempt),
        ("POST", "/session", RouteKind.Exempt), // BuildKit, closed by the engine's own setting: docs/security.md
        ("POST", "/grpc", RouteKind.Exempt),

        ("GET", "/networks", RouteKind.Exempt),
        ("GET", "/networks/*", RouteKind.Exempt),
        ("POST", "/networks/create", RouteKind.Exempt),
        ("POST", "/networks/*/connect", RouteKind.NetworkConnect),
        ("POST", "/networks/*/disconnect", RouteKind.Exempt),
        ("POST", "/networks/prune", RouteKind.Exempt),
        ("DELETE", "/networks/*", RouteKind.Exempt),

        ("GET", "/volumes", RouteKind.Exempt),
        ("GET", "/volumes/*", RouteKind.VolumeGet),
        ("POST", "/volumes/create", RouteKind.VolumeCreate),
        // removes quota volumes that no container uses; the quota counts when a container starts
        ("POST", "/volumes/prune", RouteKind.Exempt),
        ("PUT", "/volumes/*", RouteKind.Exempt), // cluster volumes
        ("DELETE", "/volumes/*", RouteKind.VolumeRemove),

        ("GET", "/plugins", RouteKind.Exempt),
        ("GET", "/plugins/privileges", RouteKind.Exempt),
        ("GET", "/plugins/*/json", RouteKind.Exempt),
        ("POST", "/plugins/*", RouteKind.PluginChange), // create, pull, and {name}/enable, disable, set, upgrade, push
        ("DELETE", "/plugins/*", RouteKind.PluginChange),

        ("GET", "/swarm", RouteKind.Swarm), // holds the tokens to join with
        ("GET", "/swarm/unlockkey", RouteKind.Swarm),
        ("POST", "/swarm/init", RouteKind.Swarm),
        ("POST", "/swarm/join", RouteKind.Swarm),
        ("POST", "/swarm/leave", RouteKind.Swarm),
        ("POST", "/swarm/update", RouteKind.Swarm),
        ("POST", "/swarm/unlock", RouteKind.Swarm),
        ("GET", "/services", RouteKind.Exempt),
        ("GET", "/services/*", RouteKind.Exempt), // and {id}/logs
        ("POST", "/services/create", RouteKind.ServiceChange),
        ("POST", "/services/*/update", RouteKind.ServiceChange),
        ("DELETE", "/services/*", RouteKind.Exempt),
        ("GET", "/tasks", RouteKind.Exempt),
        ("GET", "/tasks/*", RouteKind.Exempt),
        ("GET", "/nodes", RouteKind.Exempt),
        ("GET", "/nodes/*", RouteKind.Exempt),
        ("POST", "/nodes/*/update", RouteKind.Swarm), // makes managers
        ("DELETE", "/nodes/*", RouteKind.Swarm),
        ("GET", "/secrets", RouteKind.Exempt),
        ("GET", "/secrets/*", RouteKind.Exempt),
        ("POST", "/secrets/create", RouteKind.Exempt), // where it is put, the service says
        ("POST", "/secrets/*/update", RouteKind.Exempt),
        ("DELETE", "/secrets/*", RouteKind.Exempt),
        ("GET", "/configs", RouteKind.Exempt),
        ("GET", "/configs/*", RouteKind.Exempt),
        ("POST", "/configs/create", RouteKind.Exempt),
        ("POST", "/configs/*/update", RouteKind.Exempt),
        ("DELETE", "/configs/*", RouteKind.Exempt),
    ];

    static readonly FrozenDictionary<string, (string Pattern, RouteKind Kind)[]> ByMethod =
        Table.GroupBy(r => r.Method).ToFrozenDictionary(g => g.Key, g => g.Select(r => (r.Pattern, r.Kind)).ToArray());

    /// <summary>The rows of one method, in order; empty for a method without routes.</summary>
    public static ReadOnlySpan<(string Pattern, RouteKind Kind)> Of(string method) => ByMethod.GetValueOrDefault(method);

    /// <summary>Whether the name in the path is a container's.</summary>
    public static bool IsOfContainer(RouteKind kind) => kind is RouteKind.ContainerStart or RouteKind.ContainerRestart or RouteKind.ContainerArchivePut or RouteKind.ContainerArchiveGet or RouteKind.ContainerAttach
        or RouteKind.ContainerExport or RouteKind.ContainerRename or RouteKind.ExecCreate or RouteKind.Checkpoint;

    /// <summary>The containers that a call names where the engine looks for them at once, in its path or its
    /// query.</summary>
    public static IEnumerable<string> ContainersOf(EngineRoute route, string uri)
    {
        if (route.Kind == RouteKind.Commit)
            return EngineRoute.QueryValues(uri, "container");
        return IsOfContainer(route.Kind) ? [route.Name] : [];
    }

    /// <summary>The names that a call gives to a container.</summary>
    public static IEnumerable<string> NewNamesOf(RouteKind kind, string uri) =>
        kind is RouteKind.ContainerCreate or RouteKind.ContainerRename ? EngineRoute.QueryValues(uri, "name") : [];

    /// <summary>Whether only a policy file has rules for it.</summary>
    public static bool IsReach(RouteKind kind) => kind is RouteKind.ContainerArchiveGet or RouteKind.ContainerAttach or RouteKind.ContainerExport or RouteKind.Commit or RouteKind.ContainerRename or RouteKind.ExecStart or RouteKind.NetworkConnect;

    public static IEnumerable<(string Method, string Pattern, RouteKind Kind)> All => Table;
}
