// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;

namespace Runai.GpuMemory.Admission.Routing;

/// <summary>An API call as the engine's router reads it.</summary>
/// <param name="Kind">Which call.</param>
/// <param name="Name">The container, volume or plugin in the path, decoded: a name, an ID or a part of one. Empty where
/// the path has none.</param>
/// <param name="Version">The API version of the path's prefix, e.g. <c>1.41</c>; empty without one: the engine then
/// takes its newest.</param>
readonly record struct EngineRoute(RouteKind Kind, string Name = "", string Version = "")
{
    /// <summary>Matches as the engine does: on the decoded path, with or without version prefix, whatever host an
    /// absolute URI names. Where the engine would not match at all (it asks only about calls that it has a handler
    /// for), the result does not matter.</summary>
    public static EngineRoute Match(string method, string uri)
    {
        var path = Decode(PathOf(uri));
        var version = VersionOf(path);
        var rest = version.Length == 0 ? path : path[(version.Length + 2)..];
        foreach (var (pattern, kind) in EngineRoutes.Of(method))
            if (NameIn(rest, pattern) is { } name)
                return new(kind, name, version);
        return new(RouteKind.Unknown, rest, version);
    }

    /// <summary>All values of a member of the query.</summary>
    public static IEnumerable<string> QueryValues(string uri, string name) =>
        from pair in uri.Split('?', 2) is [_, var query] ? query.Split('&', ';') : []
        let parts = pair.Split('=', 2)
        where Plain(parts[0]) == name
        select Plain(parts.ElementAtOrDefault(1) ?? "");

    static string Plain(string text) => Decode(text.Replace('+', ' '));

    /// <summary>What a star of the pattern stands for (the engine's <c>{name:.*}</c>: it may hold slashes); empty for a
    /// pattern without one, null where the path does not match. Of two stars the first counts.</summary>
    static string? NameIn(string path, string pattern)
    {
        var star = pattern.IndexOf('*', StringComparison.Ordinal);
        if (star < 0)
            return path == pattern ? "" : null;
        var prefix = pattern.AsSpan(0, star);
        var suffix = pattern.AsSpan(star + 1);
        if (suffix.EndsWith("*", StringComparison.Ordinal)) // what follows is of no interest
            return
                path.AsSpan().StartsWith(prefix, StringComparison.Ordinal)
                && path.AsSpan(star).LastIndexOf(suffix[..^1], StringComparison.Ordinal) is >= 0 and var length
                ? path.Substring(star, length)
                : null;
        return
            path.Length >= prefix.Length + suffix.Length
            && path.AsSpan().StartsWith(prefix, StringComparison.Ordinal)
            && path.AsSpan().EndsWith(suffix, StringComparison.Ordinal)
            ? path[prefix.Length..^suffix.Length]
            : null;
    }

    /// <summary>What Go's url.ParseRequestURI leaves as the path: everything before the first <c>?</c> (a <c>#</c> is
    /// part of it), without scheme and host. A URI may have a scheme and no host: <c>http:/x</c> is
    /// <c>/x</c>.</summary>
    static string PathOf(string uri)
    {
        var scheme = SchemeLength(uri);
        var path = uri[scheme..].Split('?', 2)[0];
        if (scheme > 0 && path.StartsWith("//", StringComparison.Ordinal))
            path = path.IndexOf('/', 2) is > 0 and var root ? path[root..] : "";
        return path.StartsWith('/') ? path : "";
    }

    /// <summary>Of <c>http:</c>, the colon included; 0 without a scheme.</summary>
    static int SchemeLength(string uri)
    {
        var end = 0;
        while (
            end < uri.Length
            && (
                char.IsAsciiLetter(uri[end])
                || (end > 0 && (char.IsAsciiDigit(uri[end]) || uri[end] is '+' or '-' or '.'))
            )
        )
            end++;
        return end > 0 && end < uri.Length && uri[end] == ':' ? end + 1 : 0;
    }

    /// <summary>The <c>1.41</c> of <c>/v1.41/…</c>; the engine takes any run of digits and points.</summary>
    static string VersionOf(string path)
    {
        if (!path.StartsWith("/v", StringComparison.Ordinal))
            return "";
        var end = path.IndexOf('/', 1);
        var version = end < 0 ? "" : path[2..end];
        return version.All(c => char.IsAsciiDigit(c) || c == '.') ? version : "";
    }

    static string Decode(string path)
    {
        if (!path.Contains('%'))
            return path;
        var bytes = new List<byte>(path.Length);
        for (var i = 0; i < path.Length; i++)
        {
            if (
                path[i] == '%'
                && i + 2 < path.Length
                && char.IsAsciiHexDigit(path[i + 1])
                && char.IsAsciiHexDigit(path[i + 2])
            )
            {
                bytes.Add(Convert.ToByte(path.Substring(i + 1, 2), 16));
                i += 2;
            }
            else
                bytes.AddRange(Encoding.UTF8.GetBytes(path, i, 1));
        }
        return Encoding.UTF8.GetString([.. bytes]);
    }

    /// <summary>Whether the call's API has subpaths of volumes, as 1.45 (Docker 26) and newer have; null where the call
    /// names no version.</summary>
    public bool? KnowsSubpath => Version.Length == 0 ? null : !IsOlderThan(45);

    /// <summary>Whether the engine treats the call as one of an API older than 1.<paramref name="minor"/>. A version
    /// that is not of the form 1.N counts as old.</summary>
    public bool IsOlderThan(int minor) =>
        Version.Length > 0
        && !(
            Version.StartsWith("1.", StringComparison.Ordinal)
            && int.TryParse(Version.AsSpan(2), CultureInfo.InvariantCulture, out var given)
            && given >= minor
        );
}
