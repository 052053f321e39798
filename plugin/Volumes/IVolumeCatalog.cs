// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Volumes;

/// <summary>A volume of ours. <paramref name="GpuMemory"/> is its option <c>gpu-memory</c> as written (already valid),
/// null without one.</summary>
sealed record QuotaVolume(string Name, string? GpuMemory)
{
    /// <summary>When it was made.</summary>
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>Who, being no admin, made it and may remove it: a TLS name, or empty for callers on the unix socket.
    /// Null: an admin, or nobody knows.</summary>
    public string? Owner { get; init; }

    /// <summary>Its file cannot be read, so nobody knows its quota: it is listed, so that the engine gives its name to
    /// no other, and not mounted.</summary>
    public bool IsDamaged { get; init; }

    /// <summary>What users read of a damaged one. <paramref name="plugin"/> is this plugin's name.</summary>
    public static string Damage(string name, string plugin) =>
        $"the file of the volume {Quoted.Text(name)} is damaged, so its quota is not known: docker volume rm "
        + $"{Quoted.Text(name)}, then docker volume create -d {plugin} -o {GpuMemoryQuota.Name}=0.5 "
        + $"{Quoted.Text(name)} with the quota that it had";
}

/// <summary>Which volumes are ours. The volume <c>runai</c> always exists; the others were made by <c>docker volume
/// create</c>. Answers from memory.</summary>
interface IVolumeCatalog
{
    /// <summary>Null for a volume that is not ours. Finds damaged volumes too.</summary>
    QuotaVolume? Find(string name);

    /// <summary>Ordered by name, <c>runai</c> included.</summary>
    IReadOnlyList<QuotaVolume> List();

    /// <summary>Whether this resolved mount of an inspected container is a volume of this plugin: by the driver's name
    /// once it is known, else by any driver but <c>local</c> and a name that we have.</summary>
    bool Owns(MountPoint mount);

    /// <summary>Under which name the engine has this plugin, as people write it: <c>runai/gpu-memory</c>.</summary>
    string DriverName { get; }

    /// <summary>Whether a driver name of a create body or of a volume (<c>runai/gpu-memory</c>, with or without
    /// <c>:latest</c>) means this plugin.</summary>
    bool IsThisDriver(string driver);
}
