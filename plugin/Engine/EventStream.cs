// SPDX-License-Identifier: Apache-2.0
using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;

namespace Runai.GpuMemory.Engine;

/// <summary>The engine's open-ended answer to <c>GET /events</c>: one JSON document a line. Ends with an
/// <see cref="EngineException"/> when it is cut or garbled.</summary>
sealed class EventStream(Stream answer, int maxEventBytes, Action ended) : IAsyncEnumerable<EngineEvent>
{
    public async IAsyncEnumerator<EngineEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        try
        {
            var reader = PipeReader.Create(answer);
            for (var skips = false; ; )
            {
                var read = await ReadAsync(reader, cancellationToken);
                var rest = read.Buffer;
                while (rest.PositionOf((byte)'\n') is { } end)
                {
                    if (!skips && Parse(rest.Slice(0, end)) is { } one)
                        yield return one;
                    skips = false;
                    rest = rest.Slice(rest.GetPosition(1, end));
                }
                if (!skips && rest.Length > maxEventBytes)
                {
                    yield return ParseBegin(rest)
                        ?? throw new EngineException($"an event of the engine is longer than {maxEventBytes} bytes");
                    skips = true;
                }
                if (read.IsCompleted)
                    yield break;
                reader.AdvanceTo(skips ? rest.End : rest.Start, rest.End);
            }
        }
        finally
        {
            await answer.DisposeAsync();
            ended();
        }
    }

    static async ValueTask<ReadResult> ReadAsync(PipeReader reader, CancellationToken cancel)
    {
        try
        {
            return await reader.ReadAsync(cancel);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            throw new EngineException($"the engine's events: {e.Message}", null, e);
        }
    }

    /// <summary>What happened to whom, which stands before the labels; null where it does not.</summary>
    static EngineEvent? ParseBegin(ReadOnlySequence<byte> begin)
    {
        var json = new Utf8JsonReader(begin, isFinalBlock: false, default);
        string action = "",
            id = "",
            key = "";
        try
        {
            while ((action.Length == 0 || id.Length == 0) && json.Read())
            {
                if (json.TokenType == JsonTokenType.PropertyName)
                    key = json.GetString()!;
                else if (json.TokenType == JsonTokenType.String && (json.CurrentDepth, key) == (1, "Action"))
                    action = json.GetString()!;
                else if (json.TokenType == JsonTokenType.String && (json.CurrentDepth, key) == (2, "ID"))
                    id = json.GetString()!;
            }
        }
        catch (JsonException) { }
        return action.Length > 0 && id.Length > 0
            ? new()
            {
                Action = action,
                Actor = new() { Id = id },
            }
            : null;
    }

    static EngineEvent? Parse(ReadOnlySequence<byte> line)
    {
        try
        {
            if (line.Length == 0)
                return null;
            var json = new Utf8JsonReader(line);
            return JsonSerializer.Deserialize(ref json, EngineJson.Default.EngineEvent);
        }
        catch (JsonException e)
        {
            throw new EngineException($"the engine's events: {e.Message}", null, e);
        }
    }
}
