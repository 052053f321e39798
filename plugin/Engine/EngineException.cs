// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>A call to the engine that failed. <see cref="StatusCode"/> is null where no answer came.</summary>
sealed class EngineException(string message, int? statusCode = null, Exception? inner = null)
    : Exception(message, inner)
{
    /// <summary>The HTTP status; null without an answer. 404 also for a name that no object can have: no call is made
    /// then.</summary>
    public int? StatusCode { get; } = statusCode;

    /// <summary>Whether it answered more than is read: it will again.</summary>
    public bool IsTooLong { get; init; }
}
