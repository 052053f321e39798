// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Routing;

/// <summary>What an API call has to do with GPU memory.</summary>
enum RouteKind
{
    /// <summary>Nothing: passes at once, unread.</summary>
    Exempt,

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

    /// <summary>Of an exec that another user may have made, and with its input.</summary>
    ExecStart,

    /// <summary>A local volume can be a bind of the host's folders; a name of ours is ours.</summary>
    VolumeCreate,

    /// <summary>Of volumes that carry quotas: admins.</summary>
    VolumeRemove,

    /// <summary>A read of the status of one of ours, which not every caller may see.</summary>
    VolumeGet,

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
