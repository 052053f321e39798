// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Protocol;

/// <summary>What the engine tells of an API call, before it and (with the <c>Response…</c> members) after it.</summary>
sealed record AuthZRequest
{
    /// <summary>The common name of the TLS client certificate; empty on the unix socket.</summary>
    public string? User { get; init; }

    /// <summary><c>TLS</c> or empty.</summary>
    public string? UserAuthNMethod { get; init; }

    /// <summary>Missing in the retry of a call whose connection broke.</summary>
    public string? RequestMethod { get; init; }

    /// <summary>As it stood in the request line: maybe absolute, maybe percent-encoded, with the query.</summary>
    public string? RequestUri { get; set; }

    /// <summary>Only for the content type application/json, and only up to 4 MiB (1 MiB for engines before 29.3.1's
    /// fix; 20.10 drops longer ones and goes on).</summary>
    public byte[]? RequestBody { get; set; }

    /// <summary>One value a name; without authorization headers.</summary>
    public IReadOnlyDictionary<string, string>? RequestHeaders { get; set; }

    /// <summary>The engine's HTTP status; 0 before the call.</summary>
    public int ResponseStatusCode { get; init; }

    /// <summary>The engine's answer, with the bounds of <see cref="RequestBody"/>; null before the call.</summary>
    public byte[]? ResponseBody { get; set; }

    /// <summary>Where the bodies are counted; null where they are not counted.</summary>
    [JsonIgnore]
    internal IDisposable? Place { get; set; }

    /// <summary>Whoever has read the bodies says so before he waits for the engine: they may be megabytes, as headers
    /// may, and others wait for their place. Of the headers the type stays.</summary>
    internal void ReleaseBodies()
    {
        if (Place is null)
            return;
        RequestBody = null;
        ResponseBody = null;
        RequestHeaders = RequestHeaders.Find(TypeHeader) is { } type
            ? new Dictionary<string, string> { [TypeHeader] = type[..Math.Min(type.Length, MaxTypeLength)] }
            : null;
        if (RequestUri is null || RequestUri.Length <= MaxUriLength)
            Place.Dispose();
    }

    /// <summary>Of a request's body that stays while its call waits for other calls, in bytes. Of those that wait there
    /// are 1000 at most.</summary>
    public const int MaxKeptBytes = 16 << 10;

    /// <summary>Whoever waits for other calls before he reads the body gives its place back as well.</summary>
    /// <returns>False, and nothing is done, where the body is too long to be kept without one.</returns>
    internal bool TryKeepBody()
    {
        if (RequestBody is { Length: > MaxKeptBytes })
            return false;
        var body = RequestBody;
        ReleaseBodies();
        RequestBody = body;
        return true;
    }

    /// <summary>What <see cref="ReleaseBodies"/> does, once the URI was read too. That of a build, with its arguments
    /// and labels, may be a megabyte.</summary>
    internal void ReleaseAll()
    {
        if (Place is not null)
            RequestUri = null;
        ReleaseBodies();
    }

    const string TypeHeader = "Content-Type";

    /// <summary>In characters.</summary>
    const int MaxTypeLength = 256,
        MaxUriLength = 32 << 10;

    /// <summary>Whether the call certainly has none: engines read no body without a content type, and its length stands
    /// in no header when it comes in chunks.</summary>
    [JsonIgnore]
    public bool HasNoBody => RequestBody is not { Length: > 0 } && RequestHeaders.Find(TypeHeader) is null;
}
