// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.Json.Serialization;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Engine;

/// <summary>Keeps the labels that the plugin reads.</summary>
sealed class OwnLabels : JsonConverter<IReadOnlyDictionary<string, string>>
{
    /// <summary>Of these Compose and stacks have at least one on each of their containers.</summary>
    public static string[] OfCompose { get; } = ["com.docker.compose.project", "com.docker.stack.namespace"];

    static readonly string[] Own = [GpuMemoryQuota.Name, .. OfCompose];

    /// <summary>For labels that are not read from an answer of the engine. Case-sensitive, like the engine.</summary>
    public static Dictionary<string, string> Of(IReadOnlyDictionary<string, string> labels) =>
        labels
            .Where(label => Own.Contains(label.Key))
            .ToDictionary(label => label.Key, label => label.Value, StringComparer.Ordinal);

    public override IReadOnlyDictionary<string, string> Read(
        ref Utf8JsonReader reader,
        Type typeToConvert,
        JsonSerializerOptions options
    )
    {
        var found = new Dictionary<string, string>(StringComparer.Ordinal);
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new JsonException();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var own = FindOwn(ref reader);
            if (!reader.Read())
                throw new JsonException();
            if (own is not null)
                found[own] = reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw new JsonException();
            else
                reader.Skip();
        }
        return found;
    }

    static string? FindOwn(ref Utf8JsonReader reader)
    {
        foreach (var name in Own)
            if (reader.ValueTextEquals(name))
                return name;
        return null;
    }

    public override void Write(
        Utf8JsonWriter writer,
        IReadOnlyDictionary<string, string> value,
        JsonSerializerOptions options
    ) => throw new NotSupportedException();
}
