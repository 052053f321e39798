// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>Keeps the variables that the plugin reads. An environment can be megabytes.</summary>
static class OwnEnvironment
{
    /// <summary>Of the loader, of NVIDIA's runtime and of swarm's resources.</summary>
    static readonly string[] Prefixes = ["LD_", "NVIDIA_", "CUDA_", "DOCKER_RESOURCE_"];

    /// <summary>Keeps whole lines in their order. Of a name that is set twice, the last value counts.</summary>
    /// <param name="lines"><c>NAME=value</c> or <c>NAME</c>.</param>
    public static IReadOnlyList<string> Of(IReadOnlyList<string> lines) =>
        [
            .. lines.Where(line =>
                Array.Exists(Prefixes, prefix => line?.StartsWith(prefix, StringComparison.Ordinal) == true)
            ),
        ];
}
