// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Containers;

/// <summary>Where a container's driver capabilities come from, and so how to ask for others.</summary>
enum CapabilitySource
{
    /// <summary><c>NVIDIA_DRIVER_CAPABILITIES</c> of image and body, or that there is none.</summary>
    Environment,

    /// <summary>The capabilities of <c>--gpus</c>.</summary>
    Request,

    /// <summary>CDI devices, nodes and mounts bring the GPU with all that the driver has, or past NVIDIA's
    /// toolkit.</summary>
    Device,
}
