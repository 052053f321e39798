// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>One message of <c>GET /events</c>.</summary>
sealed record EngineEvent
{
    /// <summary><c>container</c>, <c>volume</c>, <c>plugin</c>…</summary>
    public string Type
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary><c>create</c>, <c>start</c>, <c>die</c>, <c>destroy</c>…</summary>
    public string Action
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>The container, in a container's event.</summary>
    public EventActor Actor
    {
        get;
        init => field = value ?? new();
    } = new();

    /// <summary>Nanoseconds since 1970, by the host's clock.</summary>
    [JsonPropertyName("timeNano")]
    public long TimeNano { get; init; }
}

/// <summary>Whom an event is about.</summary>
sealed record EventActor
{
    /// <summary>A container's whole ID, in a container's event.</summary>
    [JsonPropertyName("ID")]
    public string Id
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>The container's labels, and among them <c>name</c>, <c>image</c> and, for <c>die</c>,
    /// <c>exitCode</c>.</summary>
    public IReadOnlyDictionary<string, string>? Attributes { get; init; }
}
