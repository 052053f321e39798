// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>The body of every refusal.</summary>
sealed record EngineError
{
    /// <summary>For people; null if the answer is another object.</summary>
    [JsonPropertyName("message")]
    public string? Message { get; init; }
}
