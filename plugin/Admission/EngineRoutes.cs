using System.Collections.Frozen;

namespace Runai.GpuMemory.Admission;

/// <summary>What an API call has to do with GPU memory.</summary>
public enum RouteKind
{
    /// <summary>Nothing: passes at once, unread.</summary>
    OfNoConcern,
    /// <summary>This version does not know it; the policy's <c>unknownRoutes</c> decides.</summary>
    Unknown,
    /// <summary>Judged by its body: early and friendly.</summary>
    ContainerCreate,
    /// <summary>Judged by what the engine will run: the decision that counts.</summary>
    ContainerStart,
    /// <summary>As a start.</summary>
    ContainerRestart,
    /// <summary>May write over the preload: looked at again afterwards.</summary>
    ContainerArchivePut,
    /// <summary>Reads files of the container and of what it mounts.</summary>
    ContainerArchiveGet,
    /// <summary>Its standard input and output.</summary>
    ContainerAttach,
    /// <summary>Its files, without what it mounts.</summary>
    ContainerExport,
    /// <summary>The same, as an image.</summary>
    Commit,
    /// <summary>A name that means another container can lead other calls astray.</summary>
    ContainerRename,
    /// <summary>Privileged, or with an environment that leaves the shim out.</summary>
    ExecCreate,
    /// <summary>Of what somebody else made maybe, and with its input.</summary>
    ExecStart,
    /// <summary>A local volume can be a bind of the host's folders; a name of ours is ours.</summary>
    VolumeCreate,
    /// <summary>Of volumes that carry quotas: admins.</summary>
    VolumeRemove,
    /// <summary>The names that a container gets in a network stand in its description, which has to stay
    /// readable.</summary>
    NetworkConnect,
    /// <summary>Tasks pass no other call: judged here by what the service asks for, and again when they run.</summary>
    ServiceChange,
    /// <summary>The classic builder's containers pass no other call: its network is judged here.</summary>
    Build,
    /// <summary>An experimental engine lists, makes and removes any folder of the host for one.</summary>
    Checkpoint,
    /// <summary>Admins: a manager elsewhere starts containers here, and no call of theirs is seen.</summary>
    Swarm,
    /// <summary>Admins: who may change plugins may end this one, or bring one that is root.</summary>
    PluginChange,
}

/// <summary>Every route of the Docker Engine API up to 1.51, and of older versions that engines still serve. Within a
/// method, the engine's order: the first match counts.</summary>
static class EngineRoutes
{
    static readonly (string Method, string Pattern, RouteKind Kind)[] Table =
    [
        ("GET", "/_ping", RouteKind.OfNoConcern),
        ("HEAD", "/_ping", RouteKind.OfNoConcern),
        ("GET", "/events", RouteKind.OfNoConcern),
        ("GET", "/info", RouteKind.OfNoConcern),
        ("GET", "/version", RouteKind.OfNoConcern),
        ("GET", "/system/df", RouteKind.OfNoConcern),
        ("POST", "/auth", RouteKind.OfNoConcern),
        ("OPTIONS", "/*", RouteKind.OfNoConcern),

        ("GET", "/containers/json", RouteKind.OfNoConcern),
        ("GET", "/containers/*/export", RouteKind.ContainerExport),
        ("GET", "/containers/*/changes", RouteKind.OfNoConcern),
        ("GET", "/containers/*/json", RouteKind.OfNoConcern),
        ("GET", "/containers/*/top", RouteKind.OfNoConcern),
        ("GET", "/containers/*/logs", RouteKind.OfNoConcern),
        ("GET", "/containers/*/stats", RouteKind.OfNoConcern),
        ("GET", "/containers/*/attach/ws", RouteKind.ContainerAttach),
        ("GET", "/containers/*/archive", RouteKind.ContainerArchiveGet),
        ("HEAD", "/containers/*/archive", RouteKind.ContainerArchiveGet),
        ("GET", "/containers/*/checkpoints", RouteKind.Checkpoint),
        ("GET", "/exec/*/json", RouteKind.OfNoConcern),
        ("POST", "/containers/create", RouteKind.ContainerCreate),
        ("POST", "/containers/*/kill", RouteKind.OfNoConcern),
        ("POST", "/containers/*/pause", RouteKind.OfNoConcern),
        ("POST", "/containers/*/unpause", RouteKind.OfNoConcern),
        ("POST", "/containers/*/restart", RouteKind.ContainerRestart),
        ("POST", "/containers/*/start", RouteKind.ContainerStart),
        ("POST", "/containers/*/stop", RouteKind.OfNoConcern),
        ("POST", "/containers/*/wait", RouteKind.OfNoConcern),
        ("POST", "/containers/*/resize", RouteKind.OfNoConcern),
        ("POST", "/containers/*/attach", RouteKind.ContainerAttach),
        ("POST", "/containers/*/copy", RouteKind.ContainerArchiveGet), // up to 1.23
        ("POST", "/containers/*/exec", RouteKind.ExecCreate),
        ("POST", "/exec/*/start", RouteKind.ExecStart),
        ("POST", "/exec/*/resize", RouteKind.OfNoConcern),
        ("POST", "/containers/*/rename", RouteKind.ContainerRename),
        ("POST", "/containers/*/update", RouteKind.OfNoConcern), // changes no device, mount or label
        ("POST", "/containers/*/checkpoints", RouteKind.Checkpoint),
        ("POST", "/containers/prune", RouteKind.OfNoConcern),
        ("POST", "/commit", RouteKind.Commit), // its labels and environment are judged when a container of it starts
        ("PUT", "/containers/*/archive", RouteKind.ContainerArchivePut),
        ("DELETE", "/containers/*/checkpoints/*", RouteKind.Checkpoint),
        ("DELETE", "/containers/*", RouteKind.OfNoConcern),

        ("GET", "/images/json", RouteKind.OfNoConcern),
        ("GET", "/images/search", RouteKind.OfNoConcern),
        ("GET", "/images/get", RouteKind.OfNoConcern),
        ("GET", "/images/*/get", RouteKind.OfNoConcern),
        ("GET", "/images/*/history", RouteKind.OfNoConcern),
        ("GET", "/images/*/json", RouteKind.OfNoConcern),
        ("GET", "/distribution/*/json", RouteKind.OfNoConcern),
        ("POST", "/images/load", RouteKind.OfNoConcern),
        ("POST", "/images/create", RouteKind.OfNoConcern),
        ("POST", "/images/*/push", RouteKind.OfNoConcern),
        ("POST", "/images/*/tag", RouteKind.OfNoConcern),
        ("POST", "/images/prune", RouteKind.OfNoConcern),
        ("DELETE", "/images/*", RouteKind.OfNoConcern),
        // what it runs passes no call; the reconciliation sees the classic builder's containers
        ("POST", "/build", RouteKind.Build),
        ("POST", "/build/prune", RouteKind.OfNoConcern),
        ("POST", "/build/cancel", RouteKind.OfNoConcern),
        ("POST", "/session", RouteKind.OfNoConcern), // BuildKit, closed by the engine's own setting: docs/security.md
        ("POST", "/grpc", RouteKind.OfNoConcern),

        ("GET", "/networks", RouteKind.OfNoConcern),
        ("GET", "/networks/*", RouteKind.OfNoConcern),
        ("POST", "/networks/create", RouteKind.OfNoConcern),
        ("POST", "/networks/*/connect", RouteKind.NetworkConnect),
        ("POST", "/networks/*/disconnect", RouteKind.OfNoConcern),
        ("POST", "/networks/prune", RouteKind.OfNoConcern),
        ("DELETE", "/networks/*", RouteKind.OfNoConcern),

        ("GET", "/volumes", RouteKind.OfNoConcern),
        ("GET", "/volumes/*", RouteKind.OfNoConcern),
        ("POST", "/volumes/create", RouteKind.VolumeCreate),
        // takes quota volumes that nobody uses; the quota counts when a container starts
        ("POST", "/volumes/prune", RouteKind.OfNoConcern),
        ("PUT", "/volumes/*", RouteKind.OfNoConcern), // cluster volumes
        ("DELETE", "/volumes/*", RouteKind.VolumeRemove),

        ("GET", "/plugins", RouteKind.OfNoConcern),
        ("GET", "/plugins/privileges", RouteKind.OfNoConcern),
        ("GET", "/plugins/*/json", RouteKind.OfNoConcern),
        ("POST", "/plugins/*", RouteKind.PluginChange), // create, pull, and {name}/enable, disable, set, upgrade, push
        ("DELETE", "/plugins/*", RouteKind.PluginChange),

        ("GET", "/swarm", RouteKind.Swarm), // holds the tokens to join with
        ("GET", "/swarm/unlockkey", RouteKind.Swarm),
        ("POST", "/swarm/init", RouteKind.Swarm),
        ("POST", "/swarm/join", RouteKind.Swarm),
        ("POST", "/swarm/leave", RouteKind.Swarm),
        ("POST", "/swarm/update", RouteKind.Swarm),
        ("POST", "/swarm/unlock", RouteKind.Swarm),
        ("GET", "/services", RouteKind.OfNoConcern),
        ("GET", "/services/*", RouteKind.OfNoConcern), // and {id}/logs
        ("POST", "/services/create", RouteKind.ServiceChange),
        ("POST", "/services/*/update", RouteKind.ServiceChange),
        ("DELETE", "/services/*", RouteKind.OfNoConcern),
        ("GET", "/tasks", RouteKind.OfNoConcern),
        ("GET", "/tasks/*", RouteKind.OfNoConcern),
        ("GET", "/nodes", RouteKind.OfNoConcern),
        ("GET", "/nodes/*", RouteKind.OfNoConcern),
        ("POST", "/nodes/*/update", RouteKind.Swarm), // makes managers
        ("DELETE", "/nodes/*", RouteKind.Swarm),
        ("GET", "/secrets", RouteKind.OfNoConcern),
        ("GET", "/secrets/*", RouteKind.OfNoConcern),
        ("POST", "/secrets/create", RouteKind.OfNoConcern), // where it is put, the service says
        ("POST", "/secrets/*/update", RouteKind.OfNoConcern),
        ("DELETE", "/secrets/*", RouteKind.OfNoConcern),
        ("GET", "/configs", RouteKind.OfNoConcern),
        ("GET", "/configs/*", RouteKind.OfNoConcern),
        ("POST", "/configs/create", RouteKind.OfNoConcern),
        ("POST", "/configs/*/update", RouteKind.OfNoConcern),
        ("DELETE", "/configs/*", RouteKind.OfNoConcern),
    ];

    static readonly FrozenDictionary<string, (string Pattern, RouteKind Kind)[]> ByMethod =
        Table.GroupBy(r => r.Method).ToFrozenDictionary(g => g.Key, g => g.Select(r => (r.Pattern, r.Kind)).ToArray());

    public static ReadOnlySpan<(string Pattern, RouteKind Kind)> Of(string method) => ByMethod.GetValueOrDefault(method);

    /// <summary>Whether the name in the path is a container's.</summary>
    public static bool IsOfContainer(RouteKind kind) => kind is RouteKind.ContainerStart or RouteKind.ContainerRestart or RouteKind.ContainerArchivePut or RouteKind.ContainerArchiveGet or RouteKind.ContainerAttach
        or RouteKind.ContainerExport or RouteKind.ContainerRename or RouteKind.ExecCreate or RouteKind.Checkpoint;

    /// <summary>The containers that a call names where the engine looks for them at once, in its path or its
    /// query.</summary>
    public static IEnumerable<string> ContainersOf(EngineRoute route, string uri) =>
        route.Kind == RouteKind.Commit ? EngineRoute.QueryValues(uri, "container") : IsOfContainer(route.Kind) ? [route.Name] : [];

    /// <summary>The names that a call gives to a container.</summary>
    public static IEnumerable<string> NewNamesOf(RouteKind kind, string uri) =>
        kind is RouteKind.ContainerCreate or RouteKind.ContainerRename ? EngineRoute.QueryValues(uri, "name") : [];

    /// <summary>Of concern to a policy file alone.</summary>
    public static bool IsReach(RouteKind kind) => kind is RouteKind.ContainerArchiveGet or RouteKind.ContainerAttach or RouteKind.ContainerExport or RouteKind.Commit or RouteKind.ContainerRename or RouteKind.ExecStart or RouteKind.NetworkConnect;

    public static IEnumerable<(string Method, string Pattern, RouteKind Kind)> All => Table;
}
