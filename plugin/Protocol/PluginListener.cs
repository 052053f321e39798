using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace Runai.GpuMemory.Protocol;

/// <summary>Makes the <see cref="PluginListener"/> of the plugin's socket.</summary>
sealed class PluginListenerFactory(IAuthorizer authorizer, ILogger<PluginListener> log) : IConnectionListenerFactory
{
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(new PluginListener(SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint), new(authorizer), log));
}

/// <summary>Takes the engine's connections. The web server gets to know of one when it is needed: the engine, which keeps two connections at most, opens one for every
/// second call of a busy time, and to the web server a connection is more work than a call.</summary>
sealed partial class PluginListener : IConnectionListener
{
    const int Backlog = 512;
    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    readonly Socket _socket;
    readonly AuthZFirstLook _look;
    readonly ILogger _log;
    readonly Channel<ConnectionContext> _forServer = Channel.CreateUnbounded<ConnectionContext>(new() { AllowSynchronousContinuations = true, SingleReader = true });
    readonly CancellationTokenSource _end = new();
    readonly CancellationToken _ending;

    public PluginListener(Socket bound, AuthZFirstLook look, ILogger log)
    {
        (_socket, _look, _log, _ending, EndPoint) = (bound, look, log, _end.Token, bound.LocalEndPoint!);
        _socket.Listen(Backlog);
        _ = TakeAllAsync();
    }

    public EndPoint EndPoint { get; }

    /// <summary>The next connection for the web server; null after the end.</summary>
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default) =>
        await _forServer.Reader.WaitToReadAsync(cancellationToken) && _forServer.Reader.TryRead(out var connection) ? connection : null;

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        _socket.Dispose();
        _forServer.Writer.TryComplete();
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await UnbindAsync();
        await _end.CancelAsync();
        _end.Dispose();
    }

    async Task TakeAllAsync()
    {
        for (var failures = 0; ;)
        {
            try
            {
                var connection = new PluginConnection(await _socket.AcceptAsync(), _look, _forServer.Writer, _log, _ending);
                _ = connection.ServeAsync();
                failures = 0;
            }
            catch (Exception end) when (end is ObjectDisposedException or SocketException { SocketErrorCode: SocketError.OperationAborted })
            {
                _forServer.Writer.TryComplete();
                return;
            }
#pragma warning disable CA1031 // nothing but the end may end this: the engine's calls would wait for good
            catch (Exception problem)
            {
                // No more files can be opened, or no memory is there. Whoever calls waits in the socket's queue.
                if (failures++ == 0) LogNotTaken(_log, problem.Message);
                await Task.Delay(Pause);
            }
#pragma warning restore CA1031
        }
    }

    [LoggerMessage(102, LogLevel.Warning, "A connection of the engine cannot be taken yet: {Problem}")]
    static partial void LogNotTaken(ILogger logger, string problem);
}
