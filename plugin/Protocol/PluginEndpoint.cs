// SPDX-License-Identifier: Apache-2.0
using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http.Features;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Protocol;

/// <summary>One call of the engine's plugin protocol. The engine sends no Content-Type, decodes nothing but status 200
/// and may send an empty body, so bodies are read here by hand, and whatever goes wrong becomes an answer here and
/// nowhere else.</summary>
static partial class PluginEndpoint
{
    /// <summary>The media type of the engine's plugin protocol, for every answer.</summary>
    public const string ContentType = "application/vnd.docker.plugins.v1.2+json";

    /// <summary>An authorization call carries up to 4 MiB of request body in base64, and the response's body beside
    /// it.</summary>
    public const int MaxBodyBytes = 16 << 20;

    /// <summary>In which an authorization call says what it is about, where its URI is none of a build's.</summary>
    const int MaxBeginBytes = 2 << 10;

    static readonly LargeInput Bodies = new(maxWaiting: 500, TimeSpan.FromSeconds(4));

    /// <summary>Maps a POST that is always answered with status 200. Size, number and waiting time of bodies are
    /// bounded.</summary>
    /// <param name="app">Where to map.</param>
    /// <param name="path">The literal path.</param>
    /// <param name="request">How to read the request.</param>
    /// <param name="answer">How to write the answer.</param>
    /// <param name="handle">The service.</param>
    /// <param name="failure">The answer to a body that cannot be read, or to a bug of ours; with the body's begin, as
    /// far as it was there.</param>
    public static void MapPluginCall<TRequest, TAnswer>(
        this IEndpointRouteBuilder app,
        string path,
        JsonTypeInfo<TRequest> request,
        JsonTypeInfo<TAnswer> answer,
        Func<TRequest, CancellationToken, ValueTask<TAnswer>> handle,
        Func<string, ReadOnlyMemory<byte>, TAnswer> failure
    )
        where TRequest : class, new() =>
        app.MapPost(
            path,
            async context =>
            {
                var begin = ReadOnlyMemory<byte>.Empty;
                var json = await GuardAsync(
                    context,
                    path,
                    async () =>
                    {
                        begin = await BeginAsync(context);
                        return JsonSerializer.SerializeToUtf8Bytes(await HandleAsync(context, request, handle), answer);
                    },
                    problem => JsonSerializer.SerializeToUtf8Bytes(failure(problem, begin), answer)
                );
                await WriteAsync(context, json);
            }
        );

    /// <summary>Of a body that is to be read; it stays to be read.</summary>
    static async ValueTask<ReadOnlyMemory<byte>> BeginAsync(HttpContext context)
    {
        if (context.Request.ContentLength == 0)
            return default;
        var read = await context.Request.BodyReader.ReadAsync(context.RequestAborted);
        var begin = read.Buffer.Slice(0, Math.Min(read.Buffer.Length, MaxBeginBytes)).ToArray();
        context.Request.BodyReader.AdvanceTo(read.Buffer.Start);
        return begin;
    }

    /// <summary>Writes an answer with its length, so that the engine can use the connection again.</summary>
    public static async Task WriteAsync(HttpContext context, byte[] json)
    {
        context.Response.ContentType = ContentType;
        context.Response.ContentLength = json.Length;
        await context.Response.Body.WriteAsync(json, context.RequestAborted);
    }

    static async ValueTask<byte[]> GuardAsync(
        HttpContext context,
        string path,
        Func<ValueTask<byte[]>> answer,
        Func<string, byte[]> failure
    )
    {
        try
        {
            if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
                limit.MaxRequestBodySize = MaxBodyBytes;
            return await answer();
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            return failure($"{path}: the engine hung up");
        }
        catch (WorkFailedException e)
        {
            LogFailed(Log(context), path, e.Message);
            return failure(
                "the GPU memory plugin could not use its own files "
                    + $"({Quoted.Text(e.Message, 200).Trim('"')}): an admin has to look at the disk of the "
                    + "engine's folder"
            );
        }
        catch (Exception e) when (e is JsonException or BadHttpRequestException or IOException)
        {
            LogUnreadable(Log(context), path, e.Message);
            return failure(
                e is OverloadedException
                    ? $"the GPU memory plugin has {e.Message}"
                    : $"{path}: the engine's call cannot be read"
            );
        }
        catch (OutOfMemoryException)
        {
            // no log line: what is left is for the answer
            return failure($"{path}: the plugin has no memory left for this call: try again");
        }
        catch (Exception e)
        {
            // Whatever it is, the engine gets an answer.
            if (StaticState.IsLost(e))
            {
                LogLost(Log(context), e, path);
                context.RequestServices.GetRequiredService<IHostApplicationLifetime>().StopApplication();
                return failure($"{path}: the plugin had no memory left and starts again: try again");
            }
            LogBug(Log(context), e, path);
            return failure($"{path}: an error in the plugin, see its log");
        }
    }

    /// <summary>An empty body is a request without members: the retry of a call whose connection broke can come
    /// so.</summary>
    static async ValueTask<TAnswer> HandleAsync<TRequest, TAnswer>(
        HttpContext context,
        JsonTypeInfo<TRequest> type,
        Func<TRequest, CancellationToken, ValueTask<TAnswer>> handle
    )
        where TRequest : class, new()
    {
        // Out of the server's buffers at once: it keeps as many of those as were ever needed.
        using var held = await Bodies.ReadAsync(
            context.Request.Body,
            body =>
                body.Length == 0
                    ? new()
                    : JsonSerializer.Deserialize(body.Span, type) ?? throw new JsonException("null"),
            context.RequestAborted,
            (int)Math.Min(context.Request.ContentLength ?? 0, MaxBodyBytes)
        );
        if (held.Value is AuthZRequest call)
            call.Place = held;
        else if (context.Request.ContentLength <= LargeInput.SmallBytes)
            held.Dispose(); // what follows may wait for the engine, and what was read is no longer than its text
        try
        {
            return await handle(held.Value, context.RequestAborted);
        }
        catch (Exception e)
            when (e
                    is IOException
                        and not (OverloadedException or BadHttpRequestException)
                        or UnauthorizedAccessException
            )
        {
            throw new WorkFailedException(e);
        }
    }

    /// <summary>The call was read, and what it asked for failed by the plugin's files: the disk is full, or cannot be
    /// written.</summary>
    sealed class WorkFailedException(Exception cause) : Exception(cause.Message, cause);

    static ILogger Log(HttpContext context) =>
        context.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("Runai.GpuMemory.Protocol");

    [LoggerMessage(100, LogLevel.Warning, "Unreadable call {Path}: {Problem}")]
    static partial void LogUnreadable(ILogger logger, string path, string problem);

    [LoggerMessage(107, LogLevel.Error, "{Path} failed because of the plugin's own files: {Problem}")]
    static partial void LogFailed(ILogger logger, string path, string problem);

    [LoggerMessage(
        104,
        LogLevel.Critical,
        "{Path} failed because a shortage of memory broke this process for good: it ends, and the engine restarts it"
    )]
    static partial void LogLost(ILogger logger, Exception e, string path);

    [LoggerMessage(101, LogLevel.Error, "Bug in {Path}")]
    static partial void LogBug(ILogger logger, Exception e, string path);
}
