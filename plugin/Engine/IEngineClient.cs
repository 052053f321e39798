// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>The Docker Engine API calls that the plugin needs. Every call has a deadline of its own; 404 is null; any
/// other failure is an <see cref="EngineException"/>.</summary>
interface IEngineClient
{
    /// <summary>In place of a ping's status: there is no such socket, or nothing accepts connections at it.</summary>
    const int NoListener = 0;

    /// <summary><c>GET /info</c>; never null.</summary>
    Task<EngineInfo> InfoAsync(CancellationToken cancel);

    /// <summary>A ping that marks itself by its target. Never fails: null where no answer came.</summary>
    /// <param name="target">Path and query.</param>
    /// <param name="limit">How long to wait.</param>
    /// <param name="cancel">Ends the call.</param>
    /// <returns>The answer's status, or <see cref="NoListener"/>.</returns>
    Task<int?> PingAsync(string target, TimeSpan limit, CancellationToken cancel);

    /// <summary>Inspects a container by name, ID or part of an ID, as it is judged. Further calls resolve the
    /// namespaces that it shares, and what its local volumes show of the host.</summary>
    Task<ContainerInspect?> InspectContainerAsync(string id, CancellationToken cancel);

    /// <summary>Of a container just its ID, state, time of creation and host configuration, however long the rest
    /// is.</summary>
    Task<ContainerInspect?> GlanceAtContainerAsync(string id, CancellationToken cancel);

    /// <summary>The IDs of containers that were created and never started, the newest first.</summary>
    Task<IReadOnlyList<string>> ListCreatedAsync(CancellationToken cancel);

    /// <summary>Inspects an image of the engine's store by name, tag, digest or ID. Pulls nothing.</summary>
    Task<ImageInspect?> InspectImageAsync(string name, CancellationToken cancel);

    /// <summary>The IDs of all containers that run.</summary>
    Task<IReadOnlyList<string>> ListRunningAsync(CancellationToken cancel);

    /// <summary>The IDs of all containers, running or not, that begin so.</summary>
    /// <param name="id">Hexadecimal digits.</param>
    /// <param name="cancel">Ends the call.</param>
    Task<IReadOnlyList<string>> ListByPrefixAsync(string id, CancellationToken cancel);

    /// <summary>What of the host a volume of the local driver shows; null where there is none of this name and
    /// driver.</summary>
    Task<IReadOnlyList<string>?> VolumeHostPathsAsync(string name, CancellationToken cancel);

    /// <summary>An exec by its whole ID; null when there is none.</summary>
    Task<ExecInspect?> InspectExecAsync(string execId, CancellationToken cancel);

    /// <summary>The tar that <c>GET /containers/{id}/archive?path=</c> answers, null when there is no such path (or
    /// container).</summary>
    /// <param name="id">The container.</param>
    /// <param name="path">Absolute, in the container. A symbolic link in the last place is not followed.</param>
    /// <param name="maxBytes">A longer answer is an <see cref="EngineException"/>.</param>
    /// <param name="cancel">Ends the call.</param>
    Task<byte[]?> GetArchiveAsync(string id, string path, int maxBytes, CancellationToken cancel);

    /// <summary>What is at a path of the container; null when there is nothing (or no container).</summary>
    /// <param name="id">The container.</param>
    /// <param name="path">Absolute, in the container. A symbolic link in the last place is not followed.</param>
    /// <param name="cancel">Ends the call.</param>
    Task<PathStat?> StatAsync(string id, string path, CancellationToken cancel);

    /// <summary>Unpacks an uncompressed tar into <paramref name="directory"/> of the container.</summary>
    Task PutArchiveAsync(string id, string directory, ReadOnlyMemory<byte> tar, CancellationToken cancel);

    /// <summary>Stops a container, and kills it where it does not end by itself.</summary>
    /// <param name="id">The container.</param>
    /// <param name="grace">How long it may take, whatever it says of itself.</param>
    /// <param name="cancel">Ends the call.</param>
    Task StopContainerAsync(string id, TimeSpan grace, CancellationToken cancel);

    /// <summary>Removes a container that does not run, and its anonymous volumes.</summary>
    Task RemoveContainerAsync(string id, CancellationToken cancel);

    /// <summary>Subscribes to container events; when the task is done, nothing that happens from then on is missed. The
    /// events end when the connection does; reconnecting is the caller's. Some events of the last second may come
    /// again.</summary>
    Task<IAsyncEnumerable<EngineEvent>> WatchContainersAsync(CancellationToken cancel);

    /// <summary>The name:tag of the managed plugin with this ID; null when there is none.</summary>
    Task<string?> PluginNameAsync(string pluginId, CancellationToken cancel);

    /// <summary>Which sources of mounts this managed plugin has lost by an upgrade: engines show them as they were set,
    /// and mount the defaults (seen on 20.10, 26.1 and 28.5).</summary>
    Task<IReadOnlyList<LostSource>> LostSourcesAsync(string pluginId, CancellationToken cancel);

    /// <summary>The driver for which the engine has a volume of this name; empty where it has none by it, null where a
    /// driver did not answer. Asks what is there, and so never waits for a driver that is not, as the inspection of a
    /// volume does for 15 s.</summary>
    Task<string?> VolumeDriverAsync(string name, CancellationToken cancel);

    /// <summary>The name of a network of the engine or of its swarm; null when there is none.</summary>
    /// <param name="network">A name, an ID or the beginning of one.</param>
    /// <param name="cancel">Ends the call.</param>
    Task<string?> NetworkNameAsync(string network, CancellationToken cancel);

    /// <summary>What a rollback of a service would bring back; null when there is no such service.</summary>
    Task<PreviousService?> PreviousServiceAsync(string service, CancellationToken cancel);
}
