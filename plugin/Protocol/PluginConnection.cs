// SPDX-License-Identifier: Apache-2.0
using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Protocol;

/// <summary>A connection of the engine: calls of no concern are answered here, on the thread that received them
/// (<see cref="SocketThread"/>); the others go through a pipe to the web server.</summary>
/// <remarks>A call that comes with another behind it, or in another form than engines write, is the web server's, and
/// so is all that follows. Whoever sends a second call before the answer to the first may otherwise have the second's
/// first; the engine's client never does.</remarks>
sealed partial class PluginConnection(
    Socket socket,
    AuthZFastPath look,
    ChannelWriter<ConnectionContext> forServer,
    ILogger log,
    CancellationToken cancel
)
{
    /// <summary>The engine's client writes a head with the begin of the body, 4 kB, then the rest by 32 kB.</summary>
    const int BufferBytes = 32 << 10;

    ServerConnection? _server;

    /// <summary>Serves until the engine hangs up or the plugin ends, then closes the socket. Never throws.</summary>
    public async Task ServeAsync()
    {
        using var held = socket;
        using var ending = cancel.UnsafeRegister(static socket => ((Socket)socket!).Dispose(), socket);
        await RunToEndAsync(ReceiveAllAsync());
        _server?.Close();
    }

    /// <summary>No buffer is kept while a call is judged: that may take seconds, of many calls.</summary>
    async Task ReceiveAllAsync()
    {
        for (var isMore = true; isMore; )
        {
            var buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
            try
            {
                isMore = await ReceiveAsync(buffer);
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
            if (isMore)
                await socket.ReceiveAsync(Memory<byte>.Empty);
        }
    }

    /// <summary>Until a call was passed on, or the connection ended: then false.</summary>
    async Task<bool> ReceiveAsync(byte[] buffer)
    {
        while (await socket.ReceiveAsync(buffer.AsMemory()) is > 0 and var count)
        {
            if (CallHead.Read(buffer.AsMemory(0, count)) is not { } head || head.CallLength < count)
            {
                await ForwardAsync(buffer, count, int.MaxValue);
            }
            else if (look.Answer(head, buffer.AsSpan(head.Length, count - head.Length)) is { } answer)
            {
                for (var left = head.CallLength - count; left > 0; )
                    left -= await ReceiveAsync(buffer, left);
                await socket.SendAsync(answer.AsMemory());
            }
            else
            {
                await ForwardAsync(buffer, count, head.CallLength - count);
                return true;
            }
        }
        return false;
    }

    /// <summary>Gives the web server what was received and what is still to come of it.</summary>
    async ValueTask ForwardAsync(byte[] buffer, int received, int left)
    {
        var server = _server ??= Connect();
        await server.Calls.WriteAsync(buffer.AsMemory(0, received));
        while (left > 0)
        {
            received = await ReceiveAsync(buffer, left);
            if (left != int.MaxValue)
                left -= received;
            await server.Calls.WriteAsync(buffer.AsMemory(0, received));
        }
    }

    async ValueTask<int> ReceiveAsync(byte[] buffer, int max) =>
        await socket.ReceiveAsync(buffer.AsMemory(0, Math.Min(max, buffer.Length))) is > 0 and var count
            ? count
            : throw new EndOfStreamException();

    ServerConnection Connect()
    {
        var server = new ServerConnection(socket);
        if (!forServer.TryWrite(server))
            throw new EndOfStreamException(); // the plugin ends
        _ = AnswerAsync(server.Answers);
        return server;
    }

    async Task AnswerAsync(PipeReader answers)
    {
        await RunToEndAsync(SendAllAsync(answers));
        answers.Complete();
    }

    /// <summary>Sends what the web server answers, until it ends the connection.</summary>
    async Task SendAllAsync(PipeReader answers)
    {
        while (true)
        {
            var read = await answers.ReadAsync();
            foreach (var part in read.Buffer)
                await socket.SendAsync(part);
            answers.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
                return;
        }
    }

    /// <summary>When either direction is done, so is the connection. Never throws.</summary>
    async Task RunToEndAsync(Task direction)
    {
        try
        {
            await direction;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or EndOfStreamException) { }
        catch (Exception e)
        {
            // Nothing else catches; the engine sees that the connection ends, and tries again.
            LogBug(log, e);
        }
        finally
        {
            socket.Dispose();
        }
    }

    [LoggerMessage(103, LogLevel.Error, "Bug in a connection of the engine")]
    static partial void LogBug(ILogger logger, Exception e);
}
