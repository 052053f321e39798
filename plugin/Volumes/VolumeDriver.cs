// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Volumes;

/// <summary>What Docker asks of a volume driver, answered from memory and disk.</summary>
sealed class VolumeDriver(
    VolumeCatalog catalog,
    Activations activations,
    IMountGuard guard,
    IStatusSource status,
    VolumeLooks looks
) : IVolumeDriver
{
    const string Option = GpuMemoryQuota.Name;

    public string? Create(string name, IReadOnlyDictionary<string, string> options)
    {
        if (VolumeName.FindProblem(name) is { } wrong)
            return wrong;
        if (StatusVolume.IsReserved(name))
            return StatusVolume.Refusal(name);
        var unknown = options.Keys.Where(key => key != Option).Order(StringComparer.Ordinal).ToList();
        if (unknown.Count > 0)
            return $"unknown option {Bounded.List([.. unknown.Select(key => Quoted.Text(key))])}: the only option is "
                + $"{Option}, e.g. -o {Option}=0.5";
        var quota = options.GetValueOrDefault(Option);
        if (quota is not null && !GpuMemoryQuota.TryParse(quota, out _, out var problem))
            return problem;
        return catalog.Add(new(name, quota));
    }

    public async ValueTask<VolumeInfo?> DescribeAsync(string name, CancellationToken cancel)
    {
        if (StatusVolume.IsReserved(name))
            return new(
                name,
                "",
                catalog.Find(VolumeCatalog.Everyone)?.CreatedAt ?? default,
                await status.ReportAsync(StatusVolume.UserIn(name), cancel)
            );
        return catalog.Find(name) is { } volume
            ? Info(volume) with
            {
                Status = await status.SummaryAsync(volume, looks.IsRecent, cancel),
            }
            : null;
    }

    public IReadOnlyList<VolumeInfo> DescribeAll() =>
        [.. catalog.List().Where(volume => !StatusVolume.IsReserved(volume.Name)).Select(Info)];

    public MountResult? FindPath(string name) =>
        StatusVolume.IsReserved(name) ? MountResult.Failed(StatusVolume.Refusal(name))
        : catalog.Find(name) is not null ? MountResult.Mounted("")
        : null;

    public async Task<MountResult> MountAsync(string name, string id, CancellationToken cancel)
    {
        if (StatusVolume.IsReserved(name))
            return MountResult.Failed(StatusVolume.Refusal(name));
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
        if (StatusVolume.IsReserved(name))
            return StatusVolume.Refusal(name);
        catalog.Remove(name);
        return null;
    }

    // No mountpoint: each activation has a directory of its own.
    static VolumeInfo Info(QuotaVolume volume) => new(volume.Name, "", volume.CreatedAt);
}
