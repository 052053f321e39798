// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Common;

/// <summary>Reads the paths of control groups.</summary>
static class ControlGroups
{
    /// <summary>The containers in them, the outer one first: what has the form of an ID.</summary>
    /// <param name="paths">A path, or the lines of <c>/proc/PID/cgroup</c>: <c>0::/docker/ID</c>,
    /// <c>0::/system.slice/docker-ID.scope</c>, or one like these for each controller of version 1.</param>
    public static IReadOnlyList<string> ContainersIn(string paths) =>
        [
            .. paths
                .Split('/', '-', '.', '\n')
                .Where(part => part.Length == 64 && part.All(char.IsAsciiHexDigitLower))
                .Distinct(StringComparer.Ordinal),
        ];
}
