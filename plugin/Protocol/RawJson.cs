// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Protocol;

/// <summary>A JSON value as its writer wrote it: made once, and copied as it is into each answer that has
/// it.</summary>
/// <param name="Utf8">The value's text. Must be JSON.</param>
[JsonConverter(typeof(RawJsonConverter))]
readonly record struct RawJson(ReadOnlyMemory<byte> Utf8)
{
    public JsonDocument Parse() => JsonDocument.Parse(Utf8);
}

/// <summary>Writes the text through. Nothing of this kind is read.</summary>
sealed class RawJsonConverter : JsonConverter<RawJson>
{
    public override RawJson Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        throw new NotSupportedException();

    public override void Write(Utf8JsonWriter writer, RawJson value, JsonSerializerOptions options) =>
        writer.WriteRawValue(value.Utf8.Span, skipInputValidation: true);
}
