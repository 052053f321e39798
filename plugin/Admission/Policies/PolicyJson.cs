// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>A reader that stands on a value, knows its line, and collects problems instead of stopping at the
/// first.</summary>
ref struct PolicyJson(ReadOnlySpan<byte> file)
{
    /// <summary>Who has so many has written something else than a policy; each costs a look at the whole
    /// file.</summary>
    public const int MaxProblems = 100;

    const string ImageId = "sha256:";

    readonly ReadOnlySpan<byte> _file = file;
    Utf8JsonReader _reader = new(file, new JsonReaderOptions { MaxDepth = 16 });
    string _path = "";

    /// <summary>In the order of the file, at most <see cref="MaxProblems"/>.</summary>
    public List<PolicyProblem> Problems { get; } = [];

    /// <summary>Steps to the next token; false at the end. Throws <see cref="JsonException"/> for what is not JSON, and
    /// <see cref="InvalidOperationException"/> for what is not UTF-8.</summary>
    public bool Read() => _reader.Read();

    /// <summary>Adds a problem with the value's line and key. <paramref name="text"/> follows the key: <c>must be a
    /// string</c>.</summary>
    public readonly void Problem(string text)
    {
        if (Problems.Count < MaxProblems)
            Problems.Add(
                new(
                    _file[..(int)_reader.TokenStartIndex].Count((byte)'\n') + 1,
                    _path.Length == 0 ? text : $"{Quoted.Text(_path)} {text}"
                )
            );
    }

    void Reject(string text)
    {
        Problem(text);
        _reader.Skip();
    }

    /// <summary>Null, and a problem, for a value that is not a string.</summary>
    public string? Text()
    {
        if (_reader.TokenType == JsonTokenType.String)
            return _reader.GetString();
        Reject("must be a string");
        return null;
    }

    /// <summary>Null, and a problem, for a value that is not true or false.</summary>
    public bool? Bool()
    {
        if (_reader.TokenType is JsonTokenType.True or JsonTokenType.False)
            return _reader.GetBoolean();
        Reject("must be true or false");
        return null;
    }

    /// <summary>Null, and a problem, for a value that is none of the strings.</summary>
    public string? OneOf(params ReadOnlySpan<string> values)
    {
        if (_reader.TokenType == JsonTokenType.String && values.Contains(_reader.GetString()!))
            return _reader.GetString();
        Reject($"must be \"{string.Join("\" or \"", values!)}\"");
        return null;
    }

    /// <summary>Above 0 and at most 100; 1, and a problem, for any other value.</summary>
    public decimal Factor()
    {
        if (
            _reader.TokenType == JsonTokenType.Number
            && _reader.TryGetDecimal(out var factor)
            && factor is > 0 and <= 100
        )
            return factor;
        Reject("must be a number above 0 and at most 100");
        return 1;
    }

    /// <summary>From 0 to <paramref name="max"/>; 0, and a problem, for any other value.</summary>
    public int Count(int max)
    {
        if (
            _reader.TokenType == JsonTokenType.Number
            && _reader.TryGetInt32(out var count)
            && count >= 0
            && count <= max
        )
            return count;
        Reject($"must be a whole number from 0 to {max}");
        return 0;
    }

    /// <summary>Null, and a problem, for a value that is not a quota.</summary>
    public GpuMemoryQuota? Quota()
    {
        if (_reader.TokenType != JsonTokenType.String)
            Reject("must be a string such as \"0.5\" or \"3g\"");
        else if (GpuMemoryQuota.TryParse(_reader.GetString(), out var quota, out var problem))
            return quota;
        else
            Problem($"is not a valid quota: {problem}");
        return null;
    }

    /// <summary>An array of strings, in its order. An empty string or one that comes twice is a problem.</summary>
    public List<string> Texts()
    {
        var texts = new List<string>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        if (_reader.TokenType != JsonTokenType.StartArray)
        {
            Reject("must be an array of strings");
            return texts;
        }
        while (_reader.Read() && _reader.TokenType != JsonTokenType.EndArray)
        {
            if (Text() is not { } text)
                continue;
            if (text.Length == 0 || !seen.Add(text))
                Problem(text.Length == 0 ? "has an empty text" : $"names {Quoted.Text(text)} twice");
            texts.Add(text);
        }
        return texts;
    }

    /// <summary>Names with <c>*</c>, or IDs; a part of an ID is none, and would never match.</summary>
    public List<string> Images()
    {
        var images = Texts();
        foreach (var image in images)
            if (
                image.StartsWith(ImageId, StringComparison.Ordinal)
                && !(image.Length == ImageId.Length + 64 && image.Skip(ImageId.Length).All(char.IsAsciiHexDigitLower))
            )
                Problem(
                    $"has {Quoted.Text(image)}, which is no image ID: behind {ImageId} are 64 hexadecimal "
                        + "digits, see docker image inspect -f '{{.Id}}' IMAGE"
                );
        return images;
    }

    /// <summary>At least one of the known strings.</summary>
    public List<string> Some(IReadOnlyList<string> known)
    {
        var texts = Texts();
        if (texts.Count == 0)
            Problem($"names none: there are {string.Join(", ", known)}");
        foreach (var text in texts)
            if (!known.Contains(text))
                Problem($"has {Quoted.Text(text)}: there are {string.Join(", ", known)}");
        return texts;
    }

    /// <summary>Clean absolute paths of the host, in which <c>*</c> is one name. A path below another one is a
    /// problem.</summary>
    public List<string> Paths()
    {
        var paths = Texts();
        foreach (var path in paths)
            if (UnixPath.Clean(path) != path)
                Problem($"has {Quoted.Text(path)}, which is no clean absolute path");
            else if (paths.Find(other => BindPattern.IsAbove(other, path)) is { } above)
                Problem(
                    $"has {Quoted.Text(path)}, which is below {Quoted.Text(above)}: who mounts that could "
                        + "put a link in its place"
                );
        return paths;
    }

    /// <summary>The limits of each user by TLS name, as the members in <paramref name="keys"/> read them.</summary>
    public Dictionary<string, QuotaLimits> Users(Dictionary<string, PolicyLimitReader> keys)
    {
        var users = new Dictionary<string, QuotaLimits>(StringComparer.Ordinal);
        for (var more = BeginObject(); more; more = Next())
        {
            var (outer, name) = Enter();
            if (!users.TryAdd(name, User(keys)))
                Problem("appears twice");
            if (name.Length == 0)
                Problem("is no name: callers without one have the limits beside \"users\"");
            _path = outer;
        }
        return users;
    }

    QuotaLimits User(Dictionary<string, PolicyLimitReader> keys)
    {
        var limits = new QuotaLimits();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var more = BeginObject(); more; more = Next())
        {
            var (outer, key) = Enter();
            if (!seen.Add(key))
                Problem("appears twice");
            if (keys.TryGetValue(key, out var read))
                limits = read(limits, ref this);
            else
                Reject($"is not a known key; known keys: {string.Join(", ", keys.Keys)}");
            _path = outer;
        }
        return limits;
    }

    /// <summary>Reads an object's members into the settings. An unknown key, or one that comes twice, is a
    /// problem.</summary>
    public PolicySettings Members(
        PolicySettings policy,
        Dictionary<string, PolicyKeyReader> keys,
        Dictionary<string, PolicyLimitReader>? limitKeys = null
    )
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var more = BeginObject(); more; more = Next())
        {
            var (outer, key) = Enter();
            if (!seen.Add(key))
                Problem("appears twice");
            if (keys.TryGetValue(key, out var read))
                policy = read(policy, ref this);
            else if (limitKeys?.GetValueOrDefault(key) is { } readLimit)
                policy = policy with { Limits = readLimit(policy.Limits, ref this) };
            else
                Reject(
                    "is not a known key; known keys: "
                        + $"{string.Join(", ", keys.Keys.Concat(limitKeys?.Keys.AsEnumerable() ?? []))}"
                );
            _path = outer;
        }
        return policy;
    }

    /// <summary>From an object's opening brace to its first key; false where there is none.</summary>
    bool BeginObject()
    {
        if (_reader.TokenType == JsonTokenType.StartObject)
            return Next();
        Reject("must be an object");
        return false;
    }

    bool Next() => _reader.Read() && _reader.TokenType == JsonTokenType.PropertyName;

    /// <summary>From a key to its value.</summary>
    (string Outer, string Key) Enter()
    {
        var outer = _path;
        var key = _reader.GetString()!;
        _path = outer.Length == 0 ? key : $"{outer}.{key}";
        _reader.Read();
        return (outer, key);
    }
}
