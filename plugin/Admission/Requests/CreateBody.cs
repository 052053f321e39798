// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The body of <c>POST /containers/create</c>, as far as it matters to quotas and GPUs.</summary>
sealed record CreateBody
{
    /// <summary>As typed: a name with or without tag or digest, or an ID.</summary>
    public string? Image { get; init; }

    /// <summary>The container's own, without those of the image.</summary>
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary><c>NAME=value</c>; a <c>NAME</c> alone removes the image's.</summary>
    public IReadOnlyList<string>? Env { get; init; }

    /// <summary>Targets of anonymous volumes.</summary>
    public IReadOnlyDictionary<string, NoMembers?>? Volumes { get; init; }

    /// <summary>Null: every option has its default.</summary>
    public HostConfig? HostConfig { get; init; }

    /// <summary>Whether it stands for a service's tasks.</summary>
    internal bool IsOfService { get; init; }

    /// <summary>A few dozen are many.</summary>
    public const int MaxMounts = 500;

    /// <summary>A seccomp profile of the user's own is part of it, some 20 KiB.</summary>
    const int MaxHostConfigBytes = 256 << 10;

    /// <summary>How many mounts it asks for by itself; each <c>--volumes-from</c> counts as one.</summary>
    public int MountCount =>
        (Volumes?.Count ?? 0)
        + (
            HostConfig is not { } host
                ? 0
                : (host.Binds?.Count ?? 0)
                    + (host.Mounts?.Count ?? 0)
                    + (host.Tmpfs?.Count ?? 0)
                    + (host.VolumesFrom?.Count ?? 0)
        );

    /// <summary>Only what a judgement reads: of labels and environment, which may be megabytes, what is about
    /// GPUs.</summary>
    public CreateBody WithoutIrrelevant() =>
        this with
        {
            Env = Env is null ? null : OwnEnvironment.Of(Env),
            Labels = Labels is null ? null : OwnLabels.Of(Labels),
        };

    static readonly JsonShape Shape = JsonShape.Of(CreateBodyJson.Default.CreateBody);
    static readonly string[] HostConfigKeys = [.. CreateBodyJson.Default.HostConfig.Properties.Select(p => p.Name)];

    /// <summary>Reads a body that can be read in one way only; refuses every other.</summary>
    public static bool TryRead(
        ReadOnlySpan<byte> json,
        [NotNullWhen(true)] out CreateBody? body,
        [NotNullWhen(false)] out string? problem
    )
    {
        body = null;
        problem = StrictJson.FindProblem(ref json, Shape) ?? FindMisplacedKey(json);
        if (problem is not null)
            return false;
        try
        {
            body = JsonSerializer.Deserialize(json, CreateBodyJson.Default.CreateBody);
            problem = body is null ? "it is null" : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            problem = e is JsonException { Path: { } path }
                ? $"{Quoted.Text(path)} is not what the API has there"
                : "a text is not valid UTF-8";
        }
        return body is not null;
    }

    /// <summary>Engines up to 24 take members of HostConfig beside HostConfig too; later ones ignore them.</summary>
    static string? FindMisplacedKey(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = StrictJson.MaxDepth });
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            return null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var key = reader.GetString()!;
            reader.Read();
            if (GoKeys.AreSame(nameof(HostConfig), key))
            {
                var start = reader.TokenStartIndex;
                reader.Skip();
                if (reader.BytesConsumed - start > MaxHostConfigBytes)
                    return $"{nameof(HostConfig)} is longer than {MaxHostConfigBytes} bytes";
                continue;
            }
            // docker-py writes Runtime here, which no engine reads.
            if (
                !GoKeys.AreSame("Runtime", key)
                && !IsEmpty(ref reader)
                && Array.Find(HostConfigKeys, known => GoKeys.AreSame(known, key)) is { } misplaced
            )
                return $"the key {misplaced} belongs into HostConfig";
            reader.Skip();
        }
        return null;
    }

    static bool IsEmpty(ref Utf8JsonReader reader)
    {
        if (reader.TokenType is not (JsonTokenType.StartArray or JsonTokenType.StartObject))
            return reader.TokenType is JsonTokenType.Null or JsonTokenType.False
                || (reader.TokenType == JsonTokenType.String && reader.ValueSpan.IsEmpty);
        var next = reader;
        return next.Read() && next.TokenType is JsonTokenType.EndArray or JsonTokenType.EndObject;
    }
}
