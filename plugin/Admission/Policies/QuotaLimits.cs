// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>How much GPU memory a user's containers may have. Null: not said.</summary>
sealed record QuotaLimits
{
    /// <summary>A container with a GPU must have a quota.</summary>
    public bool? RequireQuota { get; init; }

    /// <summary>For containers that have the volume and no quota.</summary>
    public GpuMemoryQuota? DefaultQuota { get; init; }

    /// <summary>Of one container on one GPU.</summary>
    public GpuMemoryQuota? MaxQuota { get; init; }

    /// <summary>Of all of a user's containers on one GPU.</summary>
    public GpuMemoryQuota? TotalQuota { get; init; }
}
