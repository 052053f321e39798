// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>The GPUs of this host, read once through the host's NVML and again when asked while none was
/// found.</summary>
interface IGpuInventory
{
    /// <summary>Empty where NVML is missing or finds none.</summary>
    IReadOnlyList<GpuDevice> Devices { get; }

    /// <summary>The same as they were last read: never waits for the driver.</summary>
    IReadOnlyList<GpuDevice> Known => Devices;

    /// <summary>False while the driver has not answered: <see cref="Devices"/> is no answer then.</summary>
    bool IsKnown => true;

    /// <summary>Why <see cref="Devices"/> is empty; null otherwise.</summary>
    string? Problem { get; }

    /// <summary>The same of <see cref="Known"/>.</summary>
    string? KnownProblem => Problem;

    /// <summary><c>580.159.04</c>, as it was when the GPUs were read; null where NVML did not say.</summary>
    string? DriverVersion => null;
}
