// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>NVML said no.</summary>
sealed class NvmlException(string message) : Exception(message);
