// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.Status;

/// <summary>What readers of the status rely on.</summary>
static class StatusContract
{
    /// <summary>Another number where a key changes its meaning or goes. New keys may come with any release.</summary>
    public const int Version = 1;

    /// <summary>Listed.</summary>
    public const int MaxContainers = 10_000,
        MaxProblems = 200;

    /// <summary>The engine reads the status into floating-point numbers: whole ones up to this are exact.</summary>
    public const long MaxNumber = (1L << 53) - 1;

    /// <summary>RFC 3339: <c>2026-11-30T10:00:00.000Z</c>.</summary>
    public static string Text(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
}
