// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Volumes;

/// <summary>A volume of ours. <paramref name="GpuMemory"/> is its option <c>gpu-memory</c> as written (already valid),
/// null without one.</summary>
sealed record QuotaVolume(string Name, string? GpuMemory)
{
    /// <summary>When it was made.</summary>
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>Who, being no admin, made it and may remove it: a TLS name, or empty for callers on the unix socket.
    /// Null: an admin, or unknown.</summary>
    public string? Owner { get; init; }

    /// <summary>Its file cannot be read, so its quota is unknown: it is listed, so that the engine gives its name to no
    /// other, and not mounted.</summary>
    public bool IsDamaged { get; init; }

    /// <summary>What users read of a damaged one. <paramref name="plugin"/> is this plugin's name.</summary>
    public static string Damage(string name, string plugin) =>
        $"the file of the volume {Quoted.Text(name)} is damaged, so its quota is not known: docker volume rm "
        + $"{Quoted.Text(name)}, then docker volume create -d {plugin} -o {GpuMemoryQuota.Name}=0.5 "
        + $"{Quoted.Text(name)} with the quota that it had";
}
