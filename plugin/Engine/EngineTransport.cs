// SPDX-License-Identifier: Apache-2.0
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Runai.GpuMemory.Engine;

/// <summary>The way to the engine: pooled connections to its unix socket, past every proxy, with the secret header and
/// no redirects. The API version is the newest that both sides know, negotiated again after every lost connection,
/// since an engine that comes back may be another one.</summary>
sealed class EngineTransport : IDisposable
{
    /// <summary>Below it are the paths of all calls, without a version.</summary>
    public static Uri Endpoint { get; } = new("http://docker/");

    static readonly Version Newest = new(1, 51);
    static readonly Version Oldest = new(1, 24);

    /// <summary>Of what the engine says of a failure.</summary>
    const int MaxMessageBytes = 64 << 10;

    readonly SelfCalls _own;
    readonly HttpMessageInvoker _http;
    volatile string? _version;

    public EngineTransport(string socket, SelfCalls own)
    {
        _own = own;
        _http = new HttpMessageInvoker(
            new SocketsHttpHandler
            {
                ConnectCallback = (_, cancel) => ConnectAsync(socket, cancel),
                UseProxy = false,
                UseCookies = false,
                AllowAutoRedirect = false,
                PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),
                ActivityHeadersPropagator = null,
            }
        );
    }

    public void Dispose() => _http.Dispose();

    /// <summary>The version is asked for again before the next call.</summary>
    public void Forget() => _version = null;

    /// <summary>Sends a call, of which the version is put into the path; another time, where the engine does not speak
    /// that version any more.</summary>
    public async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancel)
    {
        var path = request.RequestUri!.PathAndQuery;
        request.Headers.Add(SelfCalls.Header, _own.Secret);
        for (var again = false; ; again = true)
        {
            var version = _version ??= await NegotiateAsync(cancel);
            request.RequestUri = new Uri(Endpoint, $"v{version}{path}");
            var response = await _http.SendAsync(request, cancel);
            if (
                again
                || response.StatusCode != HttpStatusCode.BadRequest
                || !await IsVersionRefusedAsync(response, cancel)
            )
                return response;
            response.Dispose();
            Forget();
        }
    }

    /// <summary>A GET without a version.</summary>
    /// <param name="target">Path and query.</param>
    /// <param name="cancel">Ends the call.</param>
    public async Task<HttpResponseMessage> SendAsync(string target, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(Endpoint, target));
        request.Headers.Add(SelfCalls.Header, _own.Secret);
        return await _http.SendAsync(request, cancel);
    }

    async Task<string> NegotiateAsync(CancellationToken cancel)
    {
        using var response = await SendAsync("/_ping", cancel);
        var said = response.Headers.TryGetValues("Api-Version", out var values) ? values.First() : "";
        if (!response.IsSuccessStatusCode || !Version.TryParse(said, out var engine))
            throw new EngineException("the engine does not say its API version", (int)response.StatusCode);
        if (engine < Oldest)
            throw new EngineException($"the engine's API version {engine} is older than {Oldest}");
        return (engine < Newest ? engine : Newest).ToString();
    }

    /// <summary>Whether a 400 means that the engine no longer speaks the version that was agreed. Buffers the answer,
    /// so that it can be read again.</summary>
    static async Task<bool> IsVersionRefusedAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        var message = await MessageAsync(response, cancel);
        response.Content = new StringContent(message);
        return message.Contains("client version", StringComparison.Ordinal);
    }

    /// <summary>What the engine says of a failure.</summary>
    public static async Task<string> MessageAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        using var body = new BoundedStream(await response.Content.ReadAsStreamAsync(cancel), MaxMessageBytes);
        var text = Encoding.UTF8.GetString(await body.ReadAllAsync(cancel) ?? []);
        try
        {
            return JsonSerializer.Deserialize(text, EngineJson.Default.EngineError)?.Message ?? text;
        }
        catch (JsonException)
        {
            return text.Length > 0 ? text : $"status {(int)response.StatusCode}";
        }
    }

    static async ValueTask<Stream> ConnectAsync(string path, CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
