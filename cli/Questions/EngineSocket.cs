// SPDX-License-Identifier: Apache-2.0
using System.Net.Sockets;
using System.Text.Json;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>Reads the status from an engine of this machine by its Unix socket, for who reads it all the time: a docker
/// takes some 30 ms to start. It calls <c>GET /volumes/NAME</c> (Docker Engine API), as docker does.</summary>
sealed class EngineSocket : IStatusChannel, IDisposable
{
    const string Scheme = "unix://";
    const int MaxAnswer = 32 << 20;
    readonly HttpClient _client;

    /// <summary>An engine that listens there.</summary>
    /// <param name="path">Of the socket.</param>
    /// <param name="limit">How long an answer may take.</param>
    public EngineSocket(string path, TimeSpan limit)
    {
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            AllowAutoRedirect = false,
            UseCookies = false,
            ConnectCallback = (_, _) => ValueTask.FromResult<Stream>(Connect(path)),
        };
        _client = new(handler)
        {
            BaseAddress = new("http://docker"),
            Timeout = limit,
            MaxResponseContentBufferSize = MaxAnswer,
        };
    }

    /// <summary>The socket of the engine that docker reaches; null where docker reaches it in another way.</summary>
    /// <param name="docker">The docker that says so.</param>
    /// <param name="limit">How long an answer may take.</param>
    public static EngineSocket? Find(DockerProcess docker, TimeSpan limit)
    {
        var output = docker.Capture(
            [.. "context inspect --format {{.Endpoints.docker.Host}}".Split(' ').Select(Word.Of)],
            docker.Globals.Config
        );
        var host = output.Out.Text().Trim();
        return output.Code == 0 && host.StartsWith(Scheme, StringComparison.Ordinal)
            ? new(host[Scheme.Length..], limit)
            : null;
    }

    /// <inheritdoc/>
    public JsonElement ReadStatus(string volume)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/volumes/{volume}");
            using var answer = _client.Send(request);
            using var content = answer.Content.ReadAsStream();
            return InspectedVolume.StatusOf(
                volume,
                () =>
                    answer.IsSuccessStatusCode
                        ? JsonSerializer.Deserialize(content, QuestionJson.Default.InspectedVolume)
                        : throw Refused(volume, content)
            );
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            throw new UserException($"the engine gives no answer: {e.InnerException?.Message ?? e.Message}");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    static UserException Refused(string volume, Stream content) =>
        new(
            $"reading volume {volume} failed: the engine said: "
                + JsonSerializer.Deserialize(content, QuestionJson.Default.EngineError)?.Message
        );

    static NetworkStream Connect(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return new(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
