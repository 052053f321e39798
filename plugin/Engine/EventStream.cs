using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;

namespace Runai.GpuMemory.Engine;

/// <summary>The engine's open-ended answer to <c>GET /events</c>: one JSON document a line. Ends with an <see cref="EngineException"/> when it is cut or garbled.</summary>
sealed class EventStream(HttpResponseMessage response, int maxEventBytes, Action ended) : IAsyncEnumerable<EngineEvent>
{
    public async IAsyncEnumerator<EngineEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        try
        {
            var reader = PipeReader.Create(await response.Content.ReadAsStreamAsync(cancellationToken));
            while (true)
            {
                var read = await ReadAsync(reader, cancellationToken);
                var rest = read.Buffer;
                while (rest.PositionOf((byte)'\n') is { } end)
                {
                    if (Parse(rest.Slice(0, end)) is { } one) yield return one;
                    rest = rest.Slice(rest.GetPosition(1, end));
                }
                if (rest.Length > maxEventBytes) throw new EngineException($"an event of the engine is longer than {maxEventBytes} bytes");
                if (read.IsCompleted) yield break;
                reader.AdvanceTo(rest.Start, rest.End);
            }
        }
        finally
        {
            ended();
            response.Dispose();
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

    static EngineEvent? Parse(ReadOnlySequence<byte> line)
    {
        try
        {
            if (line.Length == 0) return null;
            var json = new Utf8JsonReader(line);
            return JsonSerializer.Deserialize(ref json, EngineJson.Default.EngineEvent);
        }
        catch (JsonException e)
        {
            throw new EngineException($"the engine's events: {e.Message}", null, e);
        }
    }
}
