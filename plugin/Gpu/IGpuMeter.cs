// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>What the driver says of one GPU at one moment.</summary>
/// <param name="Uuid">The GPU.</param>
/// <param name="UsedBytes">Of its memory by everybody; null where the driver does not say.</param>
/// <param name="Processes">That have something on it; null where the driver does not say.</param>
/// <param name="Percents">How much of the last seconds a process kept it busy, by PID in the host's namespace; who is
/// missing did not. Null where the driver does not say.</param>
sealed record GpuReading(
    string Uuid,
    long? UsedBytes,
    IReadOnlyList<GpuProcess>? Processes,
    IReadOnlyDictionary<int, int>? Percents
);

/// <summary>Measures the use of the host's GPUs.</summary>
interface IGpuMeter
{
    /// <summary>Empty where NVML does not answer; a GPU that cannot be read is left out. May take as long as the driver
    /// does.</summary>
    IReadOnlyList<GpuReading> ReadAll();
}
