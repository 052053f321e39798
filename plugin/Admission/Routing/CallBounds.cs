// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Routing;

/// <summary>How long the parts of an API call may be that the plugin keeps beyond reading it: while it asks the engine,
/// in its tables, in the file of owners. Go's HTTP server takes a megabyte of URI and headers. Bodies have bounds of
/// their own.</summary>
static class CallBounds
{
    /// <summary>Of a URI, in characters: a path of 4096 bytes, all of them percent-encoded, and what else a call
    /// has.</summary>
    public const int MaxUriLength = 16 << 10;

    /// <summary>Of a TLS client certificate's common name, in characters. X.509 allows 64.</summary>
    public const int MaxUserLength = 256;

    /// <summary>Of a name that is too long what the log may keep.</summary>
    public static string? Cut(string? user) => user is { Length: > MaxUserLength } ? user[..MaxUserLength] : user;

    /// <summary>Null, or what is too long, for the caller.</summary>
    public static string? FindProblem(AuthZRequest call, RouteKind kind)
    {
        if (call.User?.Length > MaxUserLength)
            return string.Create(
                CultureInfo.InvariantCulture,
                $"the common name of your TLS client certificate is longer than {MaxUserLength} characters: use a "
                    + $"certificate with a shorter one"
            );
        return LengthOf(call.RequestUri ?? "", kind) > MaxUriLength
            ? string.Create(
                CultureInfo.InvariantCulture,
                $"the URI of this call is longer than {MaxUriLength} characters: shorten what it names"
            )
            : null;
    }

    /// <summary>Of what is kept of it. The arguments and labels of a classic build stand in its query, and may be
    /// long.</summary>
    static int LengthOf(string uri, RouteKind kind) =>
        kind switch
        {
            RouteKind.Exempt or RouteKind.Unknown => 0,
            RouteKind.Build => uri.IndexOf('?', StringComparison.Ordinal) is >= 0 and var path ? path : uri.Length,
            _ => uri.Length,
        };
}
