// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Status;

/// <summary>One or more checks of the plugin's half of <c>doctor</c>.</summary>
interface IProblemSource
{
    /// <summary>What is wrong now, by what the plugin knows: does not wait, and costs a reader of the status no more
    /// than a look at each container.</summary>
    /// <param name="containers">Those of the status.</param>
    IEnumerable<Problem> Find(IReadOnlyList<ContainerStatus> containers);
}
