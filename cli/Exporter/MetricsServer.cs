// SPDX-License-Identifier: Apache-2.0
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.Cli.Exporter;

/// <summary>Serves metrics by HTTP/1.1, with bounds on what its callers can take: connections, bytes, time.</summary>
sealed class MetricsServer : IDisposable
{
    const int MaxConnections = 64;
    const int MaxHeaderBytes = 8192;
    const int MinBytesPerSecond = 16384;
    static readonly TimeSpan HeaderTimeout = TimeSpan.FromSeconds(5);
    static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(10); // also until the first byte comes
    static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(2);

    readonly KestrelServer _server;

    MetricsServer(IPEndPoint endPoint)
    {
        var options = new KestrelServerOptions { AddServerHeader = false };
        options.Limits.MaxConcurrentConnections = MaxConnections;
        options.Limits.MaxRequestHeadersTotalSize = MaxHeaderBytes;
        options.Limits.MaxRequestLineSize = MaxHeaderBytes;
        options.Limits.MaxRequestBodySize = 0;
        options.Limits.RequestHeadersTimeout = HeaderTimeout;
        options.Limits.KeepAliveTimeout = KeepAlive;
        options.Limits.MinResponseDataRate = new(MinBytesPerSecond, HeaderTimeout);
        options.Listen(endPoint, listen => listen.Protocols = HttpProtocols.Http1);
        var sockets = new SocketTransportFactory(
            Options.Create<SocketTransportOptions>(new()),
            NullLoggerFactory.Instance
        );
        _server = new(Options.Create(options), sockets, NullLoggerFactory.Instance);
    }

    /// <summary>Where it listens, as in <c>http://127.0.0.1:9401</c>.</summary>
    public string Address => _server.Features.Get<IServerAddressesFeature>()!.Addresses.Single();

    /// <summary>Begins to listen.</summary>
    /// <exception cref="UserException">It cannot listen there.</exception>
    public static MetricsServer Start(IPEndPoint endPoint, SharedReading reading)
    {
        var server = new MetricsServer(endPoint);
        try
        {
            var application = new MetricsApplication(reading, new(endPoint.Address));
            server._server.StartAsync(application, CancellationToken.None).GetAwaiter().GetResult();
            return server;
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            server.Dispose();
            var why = (e.InnerException?.InnerException ?? e).Message;
            throw new UserException($"the exporter cannot listen on {endPoint}: {why}", exitCode: 1);
        }
    }

    /// <summary>Ends it; calls that it answers have two seconds to end.</summary>
    public void Dispose()
    {
        using var timeout = new CancellationTokenSource(StopTimeout);
        _server.StopAsync(timeout.Token).GetAwaiter().GetResult();
        _server.Dispose();
    }
}
