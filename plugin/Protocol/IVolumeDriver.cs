// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>The volume driver behind <c>/VolumeDriver.*</c>. Errors are texts for the user's terminal, null means done;
/// an exception is a bug. Never waits for the Docker API for longer than a moment: the engine holds the container's
/// lock during a mount, and at boot its API is not served yet.</summary>
interface IVolumeDriver
{
    /// <summary>A success when the volume exists with the same options.</summary>
    string? Create(string name, IReadOnlyDictionary<string, string> options);

    /// <summary>Null for a volume that is not ours: the engine asks every driver for every name. Waits only for
    /// a look at the volume's status.</summary>
    ValueTask<VolumeInfo?> DescribeAsync(string name, CancellationToken cancel);

    /// <summary>Includes <c>runai</c> and damaged volumes; without their status.</summary>
    IReadOnlyList<VolumeInfo> DescribeAll();

    /// <summary>Where it is on the host; null for a volume that is not ours.</summary>
    MountResult? FindPath(string name);

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
