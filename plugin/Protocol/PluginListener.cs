using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace Runai.GpuMemory.Protocol;

/// <summary>Makes the <see cref="PluginListener"/> of the plugin's socket.</summary>
sealed class PluginListenerFactory(IAuthorizer authorizer, ILoggerFactory log) : IConnectionListenerFactory
{
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(new PluginListener(SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint), new AuthZFirstLook(authorizer), log.CreateLogger<PluginListener>()));
}

/// <summary>Takes the engine's connections and answers what the first look answers. The web server gets a connection with the first call that needs more, and closes it after
/// that one: the engine, which keeps two connections at most, opens one for every second call of a busy time, and that costs the web server more than the call itself.</summary>
/// <remarks>Everything here goes on on the thread that received the bytes (<see cref="SocketThread"/>). Calls are not pipelined: the engine's client never does.</remarks>
sealed class PluginListener : IConnectionListener
{
    /// <summary>A head and the begin of a body: what the engine's client writes at once.</summary>
    const int GlanceBytes = 4096;
    const int Backlog = 512;

    readonly Socket _socket;
    readonly AuthZFirstLook _look;
    readonly SocketConnectionContextFactory _connections;
    readonly Channel<ConnectionContext> _forServer = Channel.CreateUnbounded<ConnectionContext>(new() { AllowSynchronousContinuations = true, SingleReader = true });
    readonly CancellationTokenSource _end = new();

    public PluginListener(Socket bound, AuthZFirstLook look, ILogger log)
    {
        (_socket, _look) = (bound, look);
        // The buffers of a connection, which the server keeps for a while: a body of megabytes is out of them as it comes.
        _connections = new(new() { UnsafePreferInlineScheduling = true, MaxReadBufferSize = 1 << 17 }, log);
        _socket.Listen(Backlog);
        _ = AcceptAllAsync();
    }

    public EndPoint EndPoint => _socket.LocalEndPoint!;

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
        _connections.Dispose();
    }

    async Task AcceptAllAsync()
    {
        try
        {
            while (true) _ = ServeAsync(await _socket.AcceptAsync());
        }
        catch (Exception end) when (end is SocketException or ObjectDisposedException)
        {
            _forServer.Writer.TryComplete();
        }
    }

    async Task ServeAsync(Socket socket)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(GlanceBytes);
        var isForServer = false;
        try
        {
            while (!isForServer && await socket.ReceiveAsync(buffer, SocketFlags.Peek, _end.Token) is > 0 and var seen)
                isForServer = !await TryAnswerAsync(socket, buffer, seen);
            isForServer = isForServer && _forServer.Writer.TryWrite(_connections.Create(socket));
        }
        catch (Exception end) when (end is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            isForServer = false;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            if (!isForServer) socket.Dispose();
        }
    }

    /// <summary>False where the first look does not say the answer; nothing is then taken from the socket.</summary>
    async ValueTask<bool> TryAnswerAsync(Socket socket, byte[] buffer, int seen)
    {
        if (CallHead.Read(buffer.AsMemory(0, seen)) is not { } call
            || _look.Answer(call, buffer.AsSpan(call.Length, Math.Min(seen - call.Length, call.BodyLength))) is not { } answer) return false;
        for (var left = call.Length + call.BodyLength; left > 0;)
        {
            var taken = await socket.ReceiveAsync(buffer.AsMemory(0, Math.Min(left, buffer.Length)), _end.Token);
            if (taken == 0) throw new SocketException((int)SocketError.ConnectionReset);
            left -= taken;
        }
        await socket.SendAsync(answer, _end.Token);
        return true;
    }
}
