// SPDX-License-Identifier: Apache-2.0
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;

namespace Runai.GpuMemory.Protocol;

/// <summary>Takes the engine's connections. The web server gets to know of one when it is needed: the engine, which
/// keeps two connections at most, opens one for every second call of a busy time, and to the web server a connection is
/// more work than a call.</summary>
sealed partial class PluginListener : IConnectionListener
{
    const int Backlog = 512;

    /// <summary>Connections at a time. The engine has one for each API call about which it asks; who comes then waits
    /// in the socket's queue.</summary>
    public const int MaxConnections = 2000;
    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    readonly Socket _socket;
    readonly AuthZFastPath _fastPath;
    readonly ILogger _log;
    readonly int _maxConnections;
    readonly SemaphoreSlim _room;
    readonly Channel<ConnectionContext> _forServer = Channel.CreateUnbounded<ConnectionContext>(
        new() { AllowSynchronousContinuations = true, SingleReader = true }
    );
    readonly CancellationTokenSource _end = new();
    readonly CancellationToken _ending;

    public PluginListener(Socket bound, AuthZFastPath fastPath, ILogger log, int maxConnections = MaxConnections)
    {
        _socket = bound;
        _fastPath = fastPath;
        _log = log;
        _ending = _end.Token;
        EndPoint = bound.LocalEndPoint!;
        _maxConnections = maxConnections;
        _room = new(maxConnections);
        _socket.Listen(Backlog);
        _ = AcceptLoopAsync();
    }

    public EndPoint EndPoint { get; }

    /// <summary>The next connection for the web server; null after the end.</summary>
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default) =>
        await _forServer.Reader.WaitToReadAsync(cancellationToken) && _forServer.Reader.TryRead(out var connection)
            ? connection
            : null;

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
        _room.Dispose();
    }

    async Task AcceptLoopAsync()
    {
        for (int failures = 0, waits = 0; ; )
        {
            try
            {
                if (_room.Wait(0, CancellationToken.None))
                    waits = 0;
                else
                    await WaitForRoomAsync(waits++);
                var isTaken = false;
                try
                {
                    var connection = new PluginConnection(
                        await _socket.AcceptAsync(),
                        _fastPath,
                        _forServer.Writer,
                        _log,
                        _ending
                    );
                    _ = ServeAsync(connection);
                    isTaken = true;
                }
                finally
                {
                    if (!isTaken)
                        _room.Release();
                }
                failures = 0;
            }
            catch (Exception e)
                when (e
                        is ObjectDisposedException
                            or OperationCanceledException
                            or SocketException { SocketErrorCode: SocketError.OperationAborted }
                )
            {
                _forServer.Writer.TryComplete();
                return;
            }
            catch (Exception e)
            {
                // Nothing but the end may end this: the engine's calls would wait for good.
                // No more files can be opened, or no memory is there. Whoever calls waits in the socket's queue.
                if (failures++ == 0)
                    LogNotTaken(_log, e.Message);
                await Task.Delay(Pause);
            }
        }
    }

    async Task ServeAsync(PluginConnection connection)
    {
        try
        {
            await connection.ServeAsync();
        }
        finally
        {
            if (!_ending.IsCancellationRequested)
                _room.Release();
        }
    }

    /// <summary>Said once while there is none.</summary>
    Task WaitForRoomAsync(int waits)
    {
        if (waits == 0)
            LogFull(_log, _maxConnections);
        return _room.WaitAsync(_ending);
    }

    [LoggerMessage(
        106,
        LogLevel.Warning,
        "The engine has {Count} connections open to the plugin, as many as it may: further API calls "
            + "wait until one ends"
    )]
    static partial void LogFull(ILogger logger, int count);

    [LoggerMessage(102, LogLevel.Warning, "A connection of the engine cannot be accepted yet: {Problem}")]
    static partial void LogNotTaken(ILogger logger, string problem);
}
