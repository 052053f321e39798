using System.Text.Json;
using System.Text.Json.Serialization;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Engine;

/// <summary>Keeps the one label that the plugin reads.</summary>
sealed class OwnLabels : JsonConverter<IReadOnlyDictionary<string, string>>
{
    public override IReadOnlyDictionary<string, string> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        var found = new Dictionary<string, string>(StringComparer.Ordinal);
        if (reader.TokenType != JsonTokenType.StartObject) throw new JsonException();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isOurs = reader.ValueTextEquals(GpuMemoryQuota.Name);
            if (!reader.Read()) throw new JsonException();
            if (isOurs) found[GpuMemoryQuota.Name] = reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw new JsonException();
            else reader.Skip();
        }
        return found;
    }

    public override void Write(Utf8JsonWriter writer, IReadOnlyDictionary<string, string> value, JsonSerializerOptions options) => throw new NotSupportedException();
}
