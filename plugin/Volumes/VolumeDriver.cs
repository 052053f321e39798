// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Volumes;

/// <summary>What Docker asks of a volume driver, answered from memory and disk.</summary>
sealed class VolumeDriver(VolumeCatalog catalog, Activations activations, IMountGuard guard) : IVolumeDriver
{
    const string Option = GpuMemoryQuota.Name;

    public string? Create(string name, IReadOnlyDictionary<string, string> options)
    {
        if (VolumeName.FindProblem(name) is { } wrong)
            return wrong;
        var unknown = options.Keys.Where(key => key != Option).Order(StringComparer.Ordinal).ToList();
        if (unknown.Count > 0)
            return $"unknown option {Bounded.List([.. unknown.Select(key => Quoted.Text(key))])}: the only option is "
                + $"{Option}, e.g. -o {Option}=0.5";
        var quota = options.GetValueOrDefault(Option);
        if (quota is not null && !GpuMemoryQuota.TryParse(quota, out _, out var problem))
            return problem;
        return catalog.Add(new(name, quota));
    }

    public VolumeInfo? Describe(string name) => catalog.Find(name) is { } volume ? Info(volume) : null;

    public IReadOnlyList<VolumeInfo> DescribeAll() => [.. catalog.List().Select(Info)];

    public async Task<MountResult> MountAsync(string name, string id, CancellationToken cancel)
    {
        if (catalog.Find(name) is not { } volume)
            return MountResult.Failed($"no volume {name}: make it with docker volume create");
        if (volume.IsDamaged)
            return MountResult.Failed(QuotaVolume.Damage(name, catalog.DriverName));
        // Who has it and runs is not about to start: files are being copied.
        return !activations.IsInUse(id) && await guard.RefusalAsync(cancel) is { } refusal
            ? MountResult.Failed(refusal)
            : activations.Mount(name, id);
    }

    public Task<string?> UnmountAsync(string name, string id, CancellationToken cancel) =>
        Task.FromResult(activations.Unmount(id));

    public string? Remove(string name)
    {
        catalog.Remove(name);
        return null;
    }

    // No mountpoint: each activation has a directory of its own.
    VolumeInfo Info(QuotaVolume volume)
    {
        var status = new Dictionary<string, string> { ["Version"] = PluginVersion.Text };
        if (volume.GpuMemory is not null)
            status[Option] = volume.GpuMemory;
        if (volume.IsDamaged)
            status["Problem"] = QuotaVolume.Damage(volume.Name, catalog.DriverName);
        return new(volume.Name, "", volume.CreatedAt, status);
    }
}
