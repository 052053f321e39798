// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>What the engine answers where it refuses a call (ErrorResponse of the Docker Engine API).</summary>
/// <param name="Message">Why, with the plugin's words if the plugin refused it.</param>
sealed record EngineError([property: JsonPropertyName("message")] string? Message);
