// SPDX-License-Identifier: Apache-2.0
using System.Net;
using Docker.DotNet;
using Docker.DotNet.Handler.Abstractions;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Engine;

/// <summary>One call to the engine: its deadline, the bound on its answer, and all that it holds until it is disposed,
/// whatever the one who reads the answer does with it. <see cref="Docker"/> makes it with the package's methods,
/// <see cref="GetAsync"/> without.</summary>
sealed class EngineCall : HttpMessageHandler
{
    readonly EngineTransport _transport;
    readonly CancellationToken _cancel;
    readonly TimeSpan _limit;
    readonly CancellationTokenSource _deadline;
    readonly List<IDisposable> _held = [];
    DockerClient? _docker;
    string _name = "";

    /// <param name="transport">Carries it.</param>
    /// <param name="limit">How long it may take.</param>
    /// <param name="cancel">Ends it before that.</param>
    public EngineCall(EngineTransport transport, TimeSpan limit, CancellationToken cancel)
    {
        (_transport, _limit, _cancel) = (transport, limit, cancel);
        _deadline = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        _deadline.CancelAfter(limit);
    }

    /// <summary>A longer answer is an <see cref="EngineException"/>.</summary>
    public long MaxBytes { get; init; } = long.MaxValue;

    /// <summary>Where the whole answer waits for a place in memory, which it keeps until the call is disposed; null: it
    /// is read as it comes.</summary>
    public LargeInput? Whole { get; init; }

    /// <summary>In place of the query that the package makes, which leaves out every 0.</summary>
    public string? Query { get; init; }

    /// <summary>Ends with the call and at its deadline.</summary>
    public CancellationToken Token => _deadline.Token;

    /// <summary>Whether the engine answered 404; false before its answer.</summary>
    public bool IsNotFound { get; private set; }

    /// <summary>The package's methods, for this one call. Connections are the transport's, and stay.</summary>
    public DockerClient Docker =>
        _docker ??= new DockerClientBuilder<EngineCall>(Factory.Instance, this)
            .WithEndpoint(EngineTransport.Endpoint)
            .WithTimeout(Timeout.InfiniteTimeSpan)
            .Build();

    /// <summary>A GET whose answer the caller reads himself.</summary>
    /// <param name="path">Path and query, without a slash before them.</param>
    public async Task<Stream> GetAsync(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(EngineTransport.Endpoint, path));
        var response = await SendAsync(request, Token);
        return await response.Content.ReadAsStreamAsync(Token);
    }

    /// <summary>What comes from now on may take any time.</summary>
    public void LiftDeadline() => _deadline.CancelAfter(Timeout.InfiniteTimeSpan);

    /// <summary>A failure of this call as others know it; null where the caller ended it, or it is one
    /// already.</summary>
    public EngineException? Failure(Exception e) =>
        e switch
        {
            EngineException => null,
            OperationCanceledException when _cancel.IsCancellationRequested => null,
            OperationCanceledException => new(
                $"{_name}: no answer from the engine within {_limit.TotalSeconds:0.#} s",
                null,
                e
            ),
            _ => new($"{_name}: {e.Message}", null, e),
        };

    protected override async Task<HttpResponseMessage> SendAsync(
        HttpRequestMessage request,
        CancellationToken cancellationToken
    )
    {
        if (Query is not null)
            request.RequestUri = new UriBuilder(request.RequestUri!) { Query = Query }.Uri;
        _name = $"{request.Method} {request.RequestUri!.PathAndQuery.TrimStart('/')}";
        var response = await OverTransportAsync(request, cancellationToken);
        _held.Add(response);
        IsNotFound = response.StatusCode == HttpStatusCode.NotFound;
        if ((int)response.StatusCode >= 300 && response.StatusCode != HttpStatusCode.NotModified)
            throw new EngineException(
                $"{_name}: "
                    + $"{LocalVolume.WithoutOptions(await EngineTransport.MessageAsync(response, cancellationToken))}",
                (int)response.StatusCode
            );
        await BoundAsync(response, cancellationToken);
        return response;
    }

    async Task<HttpResponseMessage> OverTransportAsync(HttpRequestMessage request, CancellationToken cancel)
    {
        try
        {
            return await _transport.SendAsync(request, cancel);
        }
        catch (Exception e)
            when (e is HttpRequestException or IOException
                || (e is OperationCanceledException && !_cancel.IsCancellationRequested)
            )
        {
            _transport.Forget();
            throw;
        }
    }

    async Task BoundAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        var body = new BoundedStream(await response.Content.ReadAsStreamAsync(cancel), MaxBytes);
        _held.Add(body);
        if (Whole is null)
        {
            response.Content = new StreamContent(body);
            return;
        }
        var all = await Whole.ReadAsync(body, bytes => bytes, cancel);
        _held.Add(all);
        response.Content = new ReadOnlyMemoryContent(all.Value);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _held.ForEach(one => one.Dispose());
            _held.Clear();
            _deadline.Dispose();
        }
        base.Dispose(disposing);
    }

    sealed class Factory : IDockerHandlerFactory<EngineCall>
    {
        public static Factory Instance { get; } = new();

        public ResolvedTransport CreateHandler(
            EngineCall transportOptions,
            ResolvedClientOptions clientOptions,
            ILogger logger
        ) => new(transportOptions, clientOptions.Endpoint);

        public ResolvedTransport CreateHandler(ResolvedClientOptions clientOptions, ILogger logger) =>
            throw new NotSupportedException();

        /// <summary>Of attach and exec.</summary>
        public Task<WriteClosableStream> HijackStreamAsync(HttpContent content) => throw new NotSupportedException();
    }
}
