// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>A check that looks at the host or at containers, for those who read the status.</summary>
interface ICheck
{
    /// <summary>What is wrong now. Called at most every some seconds, on a thread that may wait for a disk. Reads a
    /// bounded part of whatever it reads.</summary>
    /// <param name="engine">How the engine is set up; null where it did not say.</param>
    IEnumerable<Problem> Find(EngineInfo? engine);
}
