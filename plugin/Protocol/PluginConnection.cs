using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;

namespace Runai.GpuMemory.Protocol;

/// <summary>A connection of the engine: calls of no concern are answered here, on the thread that received them (<see cref="SocketThread"/>); the others go through a pipe to
/// the web server.</summary>
/// <remarks>A call that comes with another behind it, or in another form than engines write, is the web server's, and so is all that follows. Whoever sends a second call before
/// the answer to the first may otherwise have the second's first; the engine's client never does.</remarks>
sealed class PluginConnection(Socket socket, AuthZFirstLook look, ChannelWriter<ConnectionContext> forServer)
{
    /// <summary>A head and the begin of a body: what the engine's client writes at once.</summary>
    const int GlanceBytes = 4096;

    ServerConnection? _server;

    public async Task ServeAsync(CancellationToken end)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(GlanceBytes);
        try
        {
            while (await socket.ReceiveAsync(buffer, end) is > 0 and var count)
            {
                if (CallHead.Read(buffer.AsMemory(0, count)) is not { } head || head.CallLength < count)
                {
                    await PassAsync(buffer, count, int.MaxValue, end);
                }
                else if (look.Answer(head, buffer.AsSpan(head.Length, count - head.Length)) is { } answer)
                {
                    for (var left = head.CallLength - count; left > 0;) left -= await ReceiveAsync(buffer, left, end);
                    await socket.SendAsync(answer, end);
                }
                else
                {
                    await PassAsync(buffer, count, head.CallLength - count, end);
                }
            }
        }
        catch (Exception gone) when (gone is SocketException or OperationCanceledException or ObjectDisposedException or EndOfStreamException) { }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            socket.Dispose();
            _server?.Close();
        }
    }

    /// <summary>Gives the web server what was received and what is still to come of it.</summary>
    async ValueTask PassAsync(byte[] buffer, int received, int left, CancellationToken end)
    {
        var server = _server ??= Connect();
        await server.Calls.WriteAsync(buffer.AsMemory(0, received), end);
        while (left > 0)
        {
            received = await ReceiveAsync(buffer, left, end);
            if (left != int.MaxValue) left -= received;
            await server.Calls.WriteAsync(buffer.AsMemory(0, received), end);
        }
    }

    async ValueTask<int> ReceiveAsync(byte[] buffer, int most, CancellationToken end) =>
        await socket.ReceiveAsync(buffer.AsMemory(0, Math.Min(most, buffer.Length)), end) is > 0 and var count ? count : throw new EndOfStreamException();

    ServerConnection Connect()
    {
        var server = new ServerConnection(socket);
        _ = AnswerAsync(server.Answers);
        if (!forServer.TryWrite(server)) socket.Dispose(); // the plugin ends
        return server;
    }

    /// <summary>Sends what the web server answers, until it ends the connection.</summary>
    async Task AnswerAsync(PipeReader answers)
    {
        try
        {
            while (true)
            {
                var read = await answers.ReadAsync();
                foreach (var part in read.Buffer) await socket.SendAsync(part);
                answers.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted) break;
            }
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException) { }
        finally
        {
            answers.Complete();
            socket.Dispose();
        }
    }
}
