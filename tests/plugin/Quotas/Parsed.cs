using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Tests;

/// <summary>Quotas from text, for tests.</summary>
static class Parsed
{
    /// <summary>Null where the text is no quota.</summary>
    public static GpuMemoryQuota? Quota(string? text) =>
        GpuMemoryQuota.TryParse(text, out var quota, out _) ? quota : null;
}
