// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

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
