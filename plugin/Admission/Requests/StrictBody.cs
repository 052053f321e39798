// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Runai.GpuMemory.Admission.Requests;

/// <summary>Reads bodies that can be read in one way only.</summary>
sealed class StrictBody<T>(JsonTypeInfo<T> type)
    where T : class
{
    readonly JsonShape _shape = JsonShape.Of(type);

    /// <summary>Reads a body. On failure <paramref name="problem"/> completes "is ambiguous, so it is refused: …". A
    /// body that the engine did not pass on is a failure too.</summary>
    public bool TryRead(byte[]? json, [NotNullWhen(true)] out T? body, [NotNullWhen(false)] out string? problem)
    {
        body = null;
        ReadOnlySpan<byte> text = json;
        problem = text.IsEmpty ? "the engine did not pass it on" : StrictJson.FindProblem(ref text, _shape);
        if (problem is not null)
            return false;
        try
        {
            body = JsonSerializer.Deserialize(text, type);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) { }
        problem = body is null ? "it is not what the API has there" : null;
        return body is not null;
    }
}
