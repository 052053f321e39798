// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>What <c>docker volume inspect</c> shows of a volume of ours.</summary>
/// <param name="Name">The volume's name.</param>
/// <param name="Mountpoint">Below the propagated mount; empty where nothing stands for the volume as a whole, since
/// each activation has a directory of its own.</param>
/// <param name="CreatedAt">When it was made.</param>
/// <param name="Status">Shown as <c>Status</c>: <c>Version</c> of the plugin, <c>gpu-memory</c> where the volume has
/// it, and <c>Problem</c> where it is damaged.</param>
sealed record VolumeInfo(
    string Name,
    string Mountpoint,
    DateTimeOffset CreatedAt,
    IReadOnlyDictionary<string, string> Status
);

/// <summary>The directory that the engine shall bind into the container, or why there is none.</summary>
sealed record MountResult(string? Mountpoint, string? Error)
{
    /// <summary>The path is the plugin's; the engine translates it into the host's.</summary>
    public static MountResult Mounted(string mountpoint) => new(mountpoint, null);

    /// <summary>The message goes to the user's terminal. The container does not start.</summary>
    public static MountResult Failed(string error) => new(null, error);
}

/// <summary>The volume driver behind <c>/VolumeDriver.*</c>. Errors are texts for the user's terminal, null means done;
/// an exception is a bug. Never waits for the Docker API for longer than a moment: the engine holds the container's
/// lock during a mount, and at boot its API is not served yet.</summary>
interface IVolumeDriver
{
    /// <summary>A success when the volume exists with the same options.</summary>
    string? Create(string name, IReadOnlyDictionary<string, string> options);

    /// <summary>Null for a volume that is not ours: the engine asks every driver for every name.</summary>
    VolumeInfo? Describe(string name);

    /// <summary>Includes <c>runai</c> and damaged volumes.</summary>
    IReadOnlyList<VolumeInfo> DescribeAll();

    /// <summary>Makes and mounts the directory of one activation. Fails if no limit would hold in the
    /// container.</summary>
    /// <param name="name">The volume.</param>
    /// <param name="id">Random, one per activation; the same again means one reference more.</param>
    /// <param name="cancel">The engine gave up.</param>
    Task<MountResult> MountAsync(string name, string id, CancellationToken cancel);

    /// <summary>A success for an ID that is not known.</summary>
    Task<string?> UnmountAsync(string name, string id, CancellationToken cancel);

    /// <summary>A success for a volume that is not there.</summary>
    string? Remove(string name);
}
