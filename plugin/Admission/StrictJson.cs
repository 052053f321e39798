using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission;

/// <summary>The members that a JSON text may have as far as we read it, taken from the same metadata that deserializes it.</summary>
sealed class JsonShape
{
    /// <summary>Known members; null for what is no object or whose keys are free.</summary>
    public Dictionary<string, JsonShape>? Members { get; private init; }
    /// <summary>Of a list's items, or of a dictionary's values.</summary>
    public JsonShape? Items { get; private init; }
    public bool IsDictionary { get; private init; }

    static readonly JsonShape Leaf = new();

    public static JsonShape Of(JsonTypeInfo type) => type.Kind switch
    {
        JsonTypeInfoKind.Object => new() { Members = type.Properties.ToDictionary(p => p.Name, p => Of(type.Options.GetTypeInfo(p.PropertyType))) },
        JsonTypeInfoKind.Dictionary => new() { IsDictionary = true, Items = Of(type.Options.GetTypeInfo(type.ElementType!)) },
        JsonTypeInfoKind.Enumerable => new() { Items = Of(type.Options.GetTypeInfo(type.ElementType!)) },
        _ => Leaf,
    };
}

/// <summary>Finds what Go's decoder and ours would read differently. The engine ignores the case of keys (by Unicode's folding), merges duplicates and accepts data
/// behind the text; what is in none of these forms, both read alike.</summary>
static class StrictJson
{
    /// <summary>Go allows 10,000; no client nests a tenth of this.</summary>
    public const int MaxDepth = 64;
    /// <summary>Of what is read. Each takes many times the memory that it takes in the text.</summary>
    public const int MaxValues = 50_000;

    /// <summary>Linux takes no variable, and no path, that is longer (MAX_ARG_STRLEN).</summary>
    public const int MaxTextBytes = 128 << 10;

    static string TooLong(string path) => $"a text in {Quoted.Text(path.TrimEnd('.'))} is longer than {MaxTextBytes} bytes";
    static string TooMany => $"it has more than {MaxValues} values";

    /// <summary>Null when <paramref name="json"/> can be read in one way only; else why not, naming the place.</summary>
    public static string? FindProblem(ReadOnlySpan<byte> json, JsonShape shape)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
        try
        {
            reader.Read();
            var left = MaxValues;
            if (FindProblem(ref reader, shape, "", ref left) is { } problem)
                return problem;
            reader.Read(); // throws on anything but white space
            return null;
        }
        catch (JsonException problem)
        {
            return $"it is not strict JSON of at most {MaxDepth} levels (line {problem.LineNumber + 1}, byte {problem.BytePositionInLine + 1})";
        }
        catch (InvalidOperationException)
        {
            return "a key is not valid UTF-8";
        }
    }

    static string? FindProblem(ref Utf8JsonReader reader, JsonShape shape, string path, ref int left)
    {
        if (--left < 0)
            return TooMany;
        if (reader.TokenType == JsonTokenType.StartObject && (shape.Members is not null || shape.IsDictionary))
            return FindProblemInObject(ref reader, shape, path, ref left);
        if (reader.TokenType != JsonTokenType.StartArray || shape.Items is null || shape.IsDictionary)
        {
            // Not Skip: what is in a list of texts is kept as well.
            if (reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject)
                for (var depth = reader.CurrentDepth; reader.Read() && reader.CurrentDepth > depth && !IsTooLong(reader);)
                    left--;
            return left < 0 ? TooMany : IsTooLong(reader) ? TooLong(path) : null;
        }
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (FindProblem(ref reader, shape.Items, path, ref left) is { } problem)
                return problem;
        }
        return null;
    }

    static bool IsTooLong(in Utf8JsonReader reader) => reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueSpan.Length > MaxTextBytes;

    static string? FindProblemInObject(ref Utf8JsonReader reader, JsonShape shape, string path, ref int left)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            if (IsTooLong(reader))
                return TooLong(path);
            var key = reader.GetString()!;
            reader.Read();
            var inner = shape.Items;
            if (shape.Members is not null && !shape.Members.TryGetValue(key, out inner))
            {
                foreach (var known in shape.Members.Keys)
                    if (GoKeys.AreSame(known, key))
                        return $"the key {Quoted.Text(path + key)} must be spelled {known}";
                reader.Skip();
                continue;
            }
            if (!seen.Add(key))
                return $"the key {Quoted.Text(path + key)} comes twice";
            if (FindProblem(ref reader, inner!, path + key + ".", ref left) is { } problem)
                return problem;
        }
        return null;
    }
}

/// <summary>How encoding/json compares an object's key with a field's name where they are not equal: by simple Unicode folding. For the names of the API, all ASCII,
/// that is ASCII's case and two letters more.</summary>
static class GoKeys
{
    const char KelvinSign = '\u212a';
    const char LongS = '\u017f';

    public static bool AreSame(string name, string key)
    {
        if (name.Length != key.Length)
            return false;
        for (var i = 0; i < name.Length; i++)
            if (Fold(name[i]) != Fold(key[i]))
                return false;
        return true;
    }

    static char Fold(char c) => c switch
    {
        KelvinSign => 'k',
        LongS => 's',
        >= 'A' and <= 'Z' => (char)(c | 0x20),
        _ => c,
    };
}
