// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>What <c>GET /containers/{id}/json</c> answers: the merged truth of image and create body (Docker Engine API
/// 1.41 and later). Only what the plugin reads.</summary>
sealed record ContainerInspect
{
    /// <summary>All 64 digits, whatever name or part of an ID was asked for.</summary>
    public string Id { get; init; } = "";

    /// <summary>With the leading slash that the engine writes.</summary>
    public string Name { get; init; } = "";

    /// <summary>The image's ID (<c>sha256:…</c>); the name the user gave is
    /// <see cref="ContainerConfig.Image"/>.</summary>
    public string Image { get; init; } = "";

    /// <summary>RFC 3339 with nanoseconds, by the host's clock.</summary>
    public string Created { get; init; } = "";

    /// <summary>What keeps the root file system: <c>overlay2</c>…</summary>
    public string Driver { get; init; } = "";

    /// <summary>Which of an image's platforms it is; API 1.48 and later, where images are kept by containerd.</summary>
    public ManifestDescriptor? ImageManifestDescriptor { get; init; }

    /// <summary>How often its restart policy has started it since the last call that did.</summary>
    public int RestartCount { get; init; }

    /// <summary>At the time of the answer.</summary>
    public ContainerState State { get; init; } = new();

    /// <summary>Includes the image's labels and environment. Has only those that the plugin reads.</summary>
    public ContainerConfig Config { get; init; } = new();

    /// <summary>From <see cref="IEngineClient.InspectContainerAsync"/>, a namespace that is another container's has
    /// that container's mode.</summary>
    public HostConfig HostConfig { get; init; } = new();

    /// <summary>Volumes and binds in every spelling, the image's volumes included.</summary>
    public IReadOnlyList<MountPoint> Mounts { get; init; } = [];

    /// <summary>The containers whose namespaces it shares, as <see cref="HostConfig.NamesOfJoined"/> has them before
    /// the client resolves those; null where nobody did.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public IReadOnlyList<string>? Joined { get; init; }

    /// <summary>See <see cref="Joined"/>; where that was not learnt, as the engine has them now.</summary>
    public IReadOnlyList<string> NamesOfJoined() => Joined ?? HostConfig.NamesOfJoined();

    /// <summary>Without the nulls that an engine may write where this record promises a value.</summary>
    internal ContainerInspect Normalized() =>
        this with
        {
            Id = Id ?? "",
            Name = Name ?? "",
            Image = Image ?? "",
            Created = Created ?? "",
            Driver = Driver ?? "",
            State = State ?? new(),
            Config = (Config ?? new()).Normalized(),
            HostConfig = HostConfig ?? new(),
            Mounts = Mounts ?? [],
        };
}

/// <summary>Names one manifest.</summary>
sealed record ManifestDescriptor([property: System.Text.Json.Serialization.JsonPropertyName("digest")] string? Digest);

/// <summary>What <c>HEAD /containers/{id}/archive</c> says of a path.</summary>
/// <param name="Mode">As Go's os.FileMode.</param>
/// <param name="LinkTarget">Of a link, where it leads in the end: an absolute path in the container; empty for
/// everything else.</param>
sealed record PathStat(uint Mode, string? LinkTarget = null)
{
    /// <summary>A symbolic link: bit 27, os.ModeSymlink.</summary>
    public bool IsLink => (Mode & 1 << 27) != 0;

    /// <summary>Bit 31, os.ModeDir.</summary>
    public bool IsDirectory => (Mode & 1U << 31) != 0;

    /// <summary>Whether it is a folder in which somebody does not reach files: its owner, who may run without the
    /// capabilities of root, its group, of which every user without one of his own is, or the others.</summary>
    public bool IsClosed => IsDirectory && (Mode & SearchForAll) != SearchForAll;

    const uint SearchForAll = 0b001_001_001;
}

/// <summary>The container's process, as the engine knows it.</summary>
sealed record ContainerState
{
    /// <summary><c>created</c>, <c>running</c>, <c>paused</c>, <c>restarting</c>, <c>removing</c>, <c>exited</c> or
    /// <c>dead</c>.</summary>
    public string Status { get; init; } = "";

    /// <summary>Also true while the container is paused, or waits for its restart.</summary>
    public bool Running { get; init; }

    /// <summary>In the engine's PID namespace; 0 when not running.</summary>
    public int Pid { get; init; }

    /// <summary>RFC 3339 with nanoseconds, by the host's clock.</summary>
    public string StartedAt { get; init; } = "";
}

/// <summary>The portable part of a container's configuration, image and body merged.</summary>
sealed record ContainerConfig
{
    /// <summary>As the create call named it: a name, with or without a tag or digest, or an ID.</summary>
    public string Image { get; init; } = "";

    /// <summary><c>--user</c> or the image's: a name or number, and after a colon the group. Empty: root.</summary>
    public string User { get; init; } = "";

    /// <summary>Those that the plugin reads; the others, of which an image can bring any number, are not
    /// kept.</summary>
    [System.Text.Json.Serialization.JsonConverter(typeof(OwnLabels))]
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary><c>NAME=value</c>; those that the plugin reads.</summary>
    public IReadOnlyList<string>? Env { get; init; }

    /// <summary>Drops the environment variables that the plugin does not read.</summary>
    internal ContainerConfig Normalized() => Env is null ? this : this with { Env = OwnEnvironment.Of(Env) };
}

/// <summary>The host's part of a container's configuration.</summary>
sealed record HostConfig
{
    /// <summary><c>-v</c>: <c>SOURCE:TARGET[:OPTIONS]</c>, where the source is a path on the host or a volume's
    /// name.</summary>
    public IReadOnlyList<string>? Binds { get; init; }

    /// <summary><c>--mount</c>.</summary>
    public IReadOnlyList<MountSpec>? Mounts { get; init; }

    /// <summary><c>--link</c>: a container, a colon, an alias.</summary>
    public IReadOnlyList<string>? Links { get; init; }

    /// <summary><c>--volume-driver</c>: the driver of volumes in <see cref="Binds"/> that do not exist yet. Empty:
    /// local.</summary>
    public string? VolumeDriver { get; init; }

    /// <summary><c>--volumes-from</c>: a container, with <c>:ro</c> or <c>:rw</c> after it.</summary>
    public IReadOnlyList<string>? VolumesFrom { get; init; }

    /// <summary><c>--tmpfs</c>: the path in the container, and options of mount(2).</summary>
    public IReadOnlyDictionary<string, string>? Tmpfs { get; init; }

    /// <summary><c>--gpus</c>, and a <c>--device</c> that names a CDI device.</summary>
    public IReadOnlyList<DeviceRequest>? DeviceRequests { get; init; }

    /// <summary><c>--device</c> with a path.</summary>
    public IReadOnlyList<DeviceMapping>? Devices { get; init; }

    /// <summary><c>--device-cgroup-rule</c>, as the kernel reads them: <c>c 195:* rwm</c>.</summary>
    public IReadOnlyList<string>? DeviceCgroupRules { get; init; }

    /// <summary><c>--privileged</c>: all capabilities, and all devices of the host.</summary>
    public bool Privileged { get; init; }

    /// <summary><c>--read-only</c>: the plugin cannot write <c>/etc/ld.so.preload</c> into it.</summary>
    public bool ReadonlyRootfs { get; init; }

    /// <summary><c>--rm</c>.</summary>
    public bool AutoRemove { get; init; }

    /// <summary><c>--runtime</c>. Empty in a create body: the engine's
    /// <see cref="EngineInfo.DefaultRuntime"/>.</summary>
    public string? Runtime { get; init; }

    /// <summary>OCI annotations, API 1.43 and later.</summary>
    public IReadOnlyDictionary<string, string>? Annotations { get; init; }

    /// <summary>Under which control group the container's own is made; empty: the engine's default.</summary>
    public string? CgroupParent { get; init; }

    /// <summary><c>--pid</c>: empty (its own), <c>host</c> or <c>container:NAME</c>.</summary>
    public string? PidMode { get; init; }

    /// <summary><c>--ipc</c>: <c>none</c>, <c>private</c>, <c>shareable</c>, <c>host</c> or <c>container:NAME</c>.
    /// Empty: the engine's default.</summary>
    public string? IpcMode { get; init; }

    /// <summary><c>--userns</c>: <c>host</c>. Empty: the engine's default.</summary>
    public string? UsernsMode { get; init; }

    /// <summary><c>--cgroupns</c>: <c>private</c> or <c>host</c>. Empty: the engine's default.</summary>
    public string? CgroupnsMode { get; init; }

    /// <summary><c>--network</c>: <c>none</c>, <c>host</c>, <c>container:NAME</c>, or a network by name or
    /// ID.</summary>
    public string? NetworkMode { get; init; }

    /// <summary><c>--cap-add</c>: a capability in any case, with or without <c>CAP_</c>, or <c>ALL</c>.</summary>
    public IReadOnlyList<string>? CapAdd { get; init; }

    /// <summary><c>--security-opt</c>: <c>NAME=VALUE</c>, in older clients <c>NAME:VALUE</c>.</summary>
    public IReadOnlyList<string>? SecurityOpt { get; init; }

    /// <summary>What of /proc and /sys is hidden. Null in a create body: the engine's own list.</summary>
    public IReadOnlyList<string>? MaskedPaths { get; init; }

    /// <summary>What of /proc is read-only.</summary>
    public IReadOnlyList<string>? ReadonlyPaths { get; init; }

    /// <summary><c>--restart</c>. Null: never.</summary>
    public RestartPolicy? RestartPolicy { get; init; }

    const string OfContainer = "container:";

    /// <summary>The containers whose namespaces this one shares: names, IDs, or parts of one.</summary>
    public IReadOnlyList<string> NamesOfJoined() =>
        [
            .. new[] { PidMode, IpcMode, NetworkMode }
                .Where(mode => mode?.StartsWith(OfContainer, StringComparison.Ordinal) == true)
                .Select(mode => mode![OfContainer.Length..])
                .Where(name => name.Length > 0)
                .Distinct(),
        ];
}

/// <summary><c>no</c> (or empty), <c>always</c>, <c>unless-stopped</c> or <c>on-failure</c>.</summary>
sealed record RestartPolicy(string? Name);

/// <summary>One entry of <c>--mount</c>.</summary>
sealed record MountSpec
{
    /// <summary><c>bind</c>, <c>volume</c>, <c>tmpfs</c>, <c>npipe</c>, <c>cluster</c> or <c>image</c>.</summary>
    public string Type { get; init; } = "";

    /// <summary>A volume's name, or the path on the host of a bind. Empty: an anonymous volume.</summary>
    public string? Source { get; init; }

    /// <summary>The path in the container, as written: the engine cleans it.</summary>
    public string? Target { get; init; }

    /// <summary><c>readonly</c> or <c>ro</c>.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Null if only the volume's name is given.</summary>
    public VolumeOptions? VolumeOptions { get; init; }
}

/// <summary>Options of a <c>--mount type=volume</c>.</summary>
sealed record VolumeOptions
{
    /// <summary>API 1.45 and later; may name a file.</summary>
    public string? Subpath { get; init; }

    /// <summary><c>volume-driver</c> and <c>volume-opt</c>. They count only if the volume does not exist yet.</summary>
    public DriverConfig? DriverConfig { get; init; }
}

/// <summary>The driver that makes an inline volume, and its options.</summary>
sealed record DriverConfig
{
    /// <summary>Empty: the local driver.</summary>
    public string? Name { get; init; }

    /// <summary>As the driver reads them; for the local driver see <see cref="LocalVolume"/>.</summary>
    public IReadOnlyDictionary<string, string>? Options { get; init; }
}

/// <summary>What <c>--gpus</c> and <c>--device vendor/class=name</c> become.</summary>
sealed record DeviceRequest
{
    /// <summary><c>nvidia</c> or <c>cdi</c>. Empty: the engine chooses by <see cref="Capabilities"/>.</summary>
    public string? Driver { get; init; }

    /// <summary>-1 means all. Engines take any number of 64 bits.</summary>
    public long Count { get; init; }

    /// <summary>Indexes or UUIDs, or names of CDI devices. Empty: <see cref="Count"/> says how many.</summary>
    [System.Text.Json.Serialization.JsonPropertyName("DeviceIDs")]
    public IReadOnlyList<string>? DeviceIds { get; init; }

    /// <summary>Alternatives; each lists capabilities that are needed together: <c>[["gpu","utility"]]</c>.</summary>
    public IReadOnlyList<IReadOnlyList<string>>? Capabilities { get; init; }

    /// <summary>Options of the driver; NVIDIA's has none.</summary>
    public IReadOnlyDictionary<string, string>? Options { get; init; }
}

/// <summary>One <c>--device</c>.</summary>
sealed record DeviceMapping
{
    /// <summary>A device node, a link to one, or a folder: then all nodes in it.</summary>
    public string? PathOnHost { get; init; }
    public string? PathInContainer { get; init; }
    public string? CgroupPermissions { get; init; }
}

/// <summary>One mount of the container as the engine resolved it.</summary>
sealed record MountPoint
{
    /// <summary><c>bind</c>, <c>volume</c>, <c>tmpfs</c>…</summary>
    public string Type { get; init; } = "";

    /// <summary>The volume's name; empty for every other type.</summary>
    public string? Name { get; init; }

    /// <summary>The volume's driver: <c>local</c>, or a plugin with its tag.</summary>
    public string? Driver { get; init; }

    /// <summary>Of a bind, the path on the host. For plugin volumes it is unreliable (seen on 20.10 and 28.5: the
    /// previous container's), hence not read.</summary>
    public string? Source { get; init; }

    /// <summary>The path in the container, absolute and clean.</summary>
    public string Destination { get; init; } = "";

    /// <summary>True where the engine does not say. Generated readers keep the value of a property that is set, and not
    /// that of one that is init.</summary>
    [System.Text.Json.Serialization.JsonPropertyName("RW")]
    public bool Rw { get; set; } = true;

    /// <summary>Of a volume of the local driver, what it shows of the host. Stands in the volume, not in the container;
    /// the client adds it.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public IReadOnlyList<string>? HostPaths { get; init; }
}

/// <summary>What <c>GET /images/{name}/json</c> says of the configuration that an image adds.</summary>
sealed record ImageInspect
{
    /// <summary><c>sha256:</c> and 64 digits.</summary>
    public string Id { get; init; } = "";

    /// <summary>Null if the image has none.</summary>
    public ContainerConfig? Config { get; init; }
}

/// <summary>What <c>GET /info</c> says and the plugin needs.</summary>
sealed record EngineInfo
{
    /// <summary>The runtime of containers that name none: <c>runc</c>, or the one of daemon.json.</summary>
    public string DefaultRuntime { get; init; } = "";
}

/// <summary>The specification that a service had before the one in force.</summary>
/// <param name="Version">Of the service as it is now; an update has to name it.</param>
/// <param name="Spec">JSON, as the body that made it so; null where it never had another.</param>
sealed record PreviousService(ulong Version, byte[]? Spec);

/// <summary>One message of <c>GET /events</c>.</summary>
sealed record EngineEvent
{
    /// <summary><c>container</c>, <c>volume</c>, <c>plugin</c>…</summary>
    public string Type { get; init; } = "";

    /// <summary><c>create</c>, <c>start</c>, <c>die</c>, <c>destroy</c>…</summary>
    public string Action { get; init; } = "";

    /// <summary>The container, in a container's event.</summary>
    public EventActor Actor { get; init; } = new();

    /// <summary>Nanoseconds since 1970, by the host's clock.</summary>
    [System.Text.Json.Serialization.JsonPropertyName("timeNano")]
    public long TimeNano { get; init; }
}

/// <summary>Whom an event is about.</summary>
sealed record EventActor
{
    /// <summary>A container's whole ID, in a container's event.</summary>
    [System.Text.Json.Serialization.JsonPropertyName("ID")]
    public string Id { get; init; } = "";

    /// <summary>The container's labels, and among them <c>name</c>, <c>image</c> and, for <c>die</c>,
    /// <c>exitCode</c>.</summary>
    public IReadOnlyDictionary<string, string>? Attributes { get; init; }
}
