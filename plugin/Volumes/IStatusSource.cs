// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Volumes;

/// <summary>What is read as the <c>Status</c> of volumes: docs/status.md.</summary>
interface IStatusSource
{
    /// <summary>All of it. May measure, and waits for that some seconds at most.</summary>
    /// <param name="user">As <see cref="StatusVolume.Spell"/> writes it: just the containers of this one; null: of
    /// all.</param>
    /// <param name="cancel">The engine gave up.</param>
    Task<RawJson> ReportAsync(string? user, CancellationToken cancel);

    /// <summary>What a volume shows of itself and of the GPUs, without containers.</summary>
    /// <param name="volume">Which.</param>
    /// <param name="measures">Whether it may measure. Else it waits for nothing.</param>
    /// <param name="cancel">The engine gave up.</param>
    Task<RawJson> SummaryAsync(QuotaVolume volume, bool measures, CancellationToken cancel);
}
