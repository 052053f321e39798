// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.Gpu;

/// <summary>The process of CUDA's Multi-Process Service that keeps a GPU's context for its clients.</summary>
static class MpsServer
{
    /// <summary>As much of <c>nvidia-cuda-mps-server</c> as the kernel keeps.</summary>
    const string Name = "nvidia-cuda-mps";

    /// <summary>Whether the process is one. Never throws.</summary>
    public static bool Is(int pid)
    {
        try
        {
            return File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/comm")).TrimEnd('\n')
                == Name;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
