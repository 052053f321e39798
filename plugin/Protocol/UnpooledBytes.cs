// SPDX-License-Identifier: Apache-2.0
using System.Buffers;
using System.Buffers.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Protocol;

/// <summary>Base64 into an array of just its size. The serializer's own way goes through the shared pool, which keeps
/// megabytes for minutes after each busy time.</summary>
sealed class UnpooledBytes : JsonConverter<byte[]>
{
    public override byte[] Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType != JsonTokenType.String || reader.ValueIsEscaped || reader.HasValueSequence)
            return reader.GetBytesFromBase64();
        var text = reader.ValueSpan;
        var padding = text.Length - text.TrimEnd((byte)'=').Length;
        var bytes = new byte[Math.Max(0, text.Length / 4 * 3 - padding)];
        return
            Base64.DecodeFromUtf8(text, bytes, out _, out var written) == OperationStatus.Done
            && written == bytes.Length
            ? bytes
            : throw new JsonException("a body is not base64");
    }

    public override void Write(Utf8JsonWriter writer, byte[] value, JsonSerializerOptions options) =>
        writer.WriteBase64StringValue(value);
}
