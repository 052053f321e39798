// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>Tells GPU nodes by what they are (the major number), not by what they are called.</summary>
interface IDeviceNodes
{
    /// <summary>Follows symbolic links as the engine would on the host, and searches directories as <c>--device</c>
    /// does. Never throws.</summary>
    DevicePath Classify(string hostPath);

    /// <summary>Whether whoever has the path as a <c>--device</c> has nothing there but GPUs and nodes that lead
    /// nowhere else: no disk, no memory of the host. In doubt no. Never throws.</summary>
    bool IsHarmless(string hostPath);
}
