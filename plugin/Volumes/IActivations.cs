// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>The private directories and who has them: what mounts and unmounts do, and what reconciliation finds
/// out.</summary>
interface IActivations
{
    /// <summary>Records that a running container has this directory. False where another container has it and still
    /// runs: none is given a neighbour's directory.</summary>
    /// <param name="dirId">The directory.</param>
    /// <param name="container">Its ID.</param>
    /// <param name="pid">Its first process.</param>
    /// <param name="onClaimed">What the container then gets. It waits for that, so it comes before the record's way to
    /// the disk.</param>
    bool Claim(string dirId, string container, int pid, Action? onClaimed = null);
}
