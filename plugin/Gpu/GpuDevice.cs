// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>One GPU of the host, bytes as NVML's <c>nvmlDeviceGetMemoryInfo_v2</c> reports them; what may be allocated
/// is <c>TotalBytes - ReservedBytes</c>.</summary>
sealed record GpuDevice(int Index, string Uuid, string Name, long TotalBytes, long ReservedBytes)
{
    /// <summary>What all containers together can allocate: CUDA's total (<c>cuDeviceTotalMem</c>), of which fractions
    /// are shares. NVML's total with drivers before 510, which do not tell what is reserved.</summary>
    public long AllocatableBytes => TotalBytes - ReservedBytes;

    /// <summary>It is in MIG mode: containers get instances, each with a part of its memory.</summary>
    public bool IsDivided { get; init; }
}
