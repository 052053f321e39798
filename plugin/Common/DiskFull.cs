// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Common;

/// <summary>What to do about a failure for want of room on a disk.</summary>
static class DiskFull
{
    /// <summary>Begins with a semicolon; empty for any other failure. The kernel's words, in the spelling of Go or of
    /// .NET.</summary>
    public static string Hint(string failure) =>
        failure.Contains("no space left on device", StringComparison.OrdinalIgnoreCase)
            ? "; the disk of the engine's data folder is full: make room there (docker system df shows what takes it)"
            : "";
}
