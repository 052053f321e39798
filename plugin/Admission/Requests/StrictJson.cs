// SPDX-License-Identifier: Apache-2.0
using System.Text;
using System.Text.Json;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Admission.Requests;

/// <summary>Reads keys as Go's decoder does, which ignores their case (by Unicode's folding), and finds what it and
/// ours would read differently: it merges duplicates and accepts data behind the text. What is in none of these forms,
/// both read alike.</summary>
static class StrictJson
{
    /// <summary>Go allows 10,000; no client nests a tenth of this.</summary>
    public const int MaxDepth = 64;

    /// <summary>Of what is read. Each takes many times the memory that it takes in the text.</summary>
    public const int MaxValues = 50_000;

    /// <summary>Linux takes no variable, and no path, that is longer (MAX_ARG_STRLEN).</summary>
    public const int MaxTextBytes = 128 << 10;

    static string TooLong(string path) =>
        $"a text in {Quoted.Text(path.TrimEnd('.'))} is longer than {MaxTextBytes} bytes";

    static string TooMany => $"it has more than {MaxValues} values";

    /// <summary>What is yet allowed of values, and the keys in another spelling than ours: where in the text, quotes
    /// included, and how we spell them.</summary>
    sealed class Walk
    {
        public int Left { get; set; } = MaxValues;
        public List<(int Start, int Length, string Name)> Respelled { get; } = [];
    }

    /// <summary>Null when <paramref name="json"/> can be read in one way only; else why not, naming the
    /// place.</summary>
    /// <param name="json">The text. Afterwards one whose keys are spelled as ours; mostly the same.</param>
    /// <param name="shape">What is read of it.</param>
    public static string? FindProblem(ref ReadOnlySpan<byte> json, JsonShape shape)
    {
        var walk = new Walk();
        if (FindProblem(json, shape, walk) is { } problem)
            return problem;
        if (walk.Respelled.Count > 0)
            json = Respell(json, walk.Respelled);
        return null;
    }

    static byte[] Respell(ReadOnlySpan<byte> json, List<(int Start, int Length, string Name)> keys)
    {
        using var text = new MemoryStream(json.Length);
        var done = 0;
        foreach (var (start, length, name) in keys)
        {
            text.Write(json[done..start]);
            text.Write(Encoding.UTF8.GetBytes($"\"{name}\""));
            done = start + length;
        }
        text.Write(json[done..]);
        return text.ToArray();
    }

    static string? FindProblem(ReadOnlySpan<byte> json, JsonShape shape, Walk walk)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
        try
        {
            reader.Read();
            if (FindProblem(ref reader, shape, "", walk) is { } problem)
                return problem;
            reader.Read(); // throws on anything but white space
            return null;
        }
        catch (JsonException e)
        {
            return $"it is not strict JSON of at most {MaxDepth} levels (line {e.LineNumber + 1}, byte "
                + $"{e.BytePositionInLine + 1})";
        }
        catch (InvalidOperationException)
        {
            return "a key is not valid UTF-8";
        }
    }

    static string? FindProblem(ref Utf8JsonReader reader, JsonShape shape, string path, Walk walk)
    {
        if (--walk.Left < 0)
            return TooMany;
        if (reader.TokenType == JsonTokenType.StartObject && (shape.Members is not null || shape.IsDictionary))
            return FindProblemInObject(ref reader, shape, path, walk);
        if (reader.TokenType != JsonTokenType.StartArray || shape.Items is null || shape.IsDictionary)
        {
            // Not Skip: what is in an array of strings is kept as well.
            if (reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject)
                for (
                    var depth = reader.CurrentDepth;
                    reader.Read() && reader.CurrentDepth > depth && !IsTooLong(reader);

                )
                    walk.Left--;
            if (walk.Left < 0)
                return TooMany;
            return IsTooLong(reader) ? TooLong(path) : null;
        }
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (FindProblem(ref reader, shape.Items, path, walk) is { } problem)
                return problem;
        }
        return null;
    }

    static bool IsTooLong(in Utf8JsonReader reader) =>
        reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName
        && reader.ValueSpan.Length > MaxTextBytes;

    static string? FindProblemInObject(ref Utf8JsonReader reader, JsonShape shape, string path, Walk walk)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            if (IsTooLong(reader))
                return TooLong(path);
            var key = reader.GetString()!;
            var start = (int)reader.TokenStartIndex;
            var length = reader.ValueSpan.Length + 2;
            reader.Read();
            var inner = shape.Items;
            if (shape.Members is not null && !shape.Members.TryGetValue(key, out inner))
            {
                if (shape.Members.Keys.FirstOrDefault(name => GoKeys.AreSame(name, key)) is not { } known)
                {
                    reader.Skip();
                    continue;
                }
                walk.Respelled.Add((start, length, known));
                key = known;
                inner = shape.Members[known];
            }
            if (!seen.Add(key))
                return $"the key {Quoted.Text(path + key)} appears twice";
            if (FindProblem(ref reader, inner!, path + key + ".", walk) is { } problem)
                return problem;
        }
        return null;
    }
}
