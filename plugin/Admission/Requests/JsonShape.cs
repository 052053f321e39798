// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization.Metadata;

namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The members that a JSON text may have as far as we read it, taken from the same metadata that deserializes
/// it.</summary>
sealed class JsonShape
{
    /// <summary>Known members; null for what is no object or whose keys are free.</summary>
    public Dictionary<string, JsonShape>? Members { get; private init; }

    /// <summary>Of a list's items, or of a dictionary's values.</summary>
    public JsonShape? Items { get; private init; }

    /// <summary>Whether every key is a member; the values have the shape <see cref="Items"/>.</summary>
    public bool IsDictionary { get; private init; }

    static readonly JsonShape Leaf = new();

    /// <summary>Follows the metadata down to the last member. The type must not contain itself.</summary>
    public static JsonShape Of(JsonTypeInfo type) =>
        type.Kind switch
        {
            JsonTypeInfoKind.Object => new()
            {
                Members = type.Properties.ToDictionary(p => p.Name, p => Of(type.Options.GetTypeInfo(p.PropertyType))),
            },
            JsonTypeInfoKind.Dictionary => new()
            {
                IsDictionary = true,
                Items = Of(type.Options.GetTypeInfo(type.ElementType!)),
            },
            JsonTypeInfoKind.Enumerable => new() { Items = Of(type.Options.GetTypeInfo(type.ElementType!)) },
            _ => Leaf,
        };
}
