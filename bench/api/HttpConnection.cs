// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Runai.GpuMemory.ApiBench;

/// <summary>One keep-alive HTTP/1.1 connection to the engine's unix socket, blocking, with nothing between the clock
/// and the socket.</summary>
sealed class HttpConnection : IDisposable
{
    static readonly byte[] Blank = "\r\n\r\n"u8.ToArray();
    static readonly byte[] Line = "\r\n"u8.ToArray();

    readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
    {
        ReceiveTimeout = 120_000,
    };
    byte[] _buffer = new byte[1 << 16];
    int _start,
        _end;

    public HttpConnection(string socket) => _socket.Connect(new UnixDomainSocketEndPoint(socket));

    /// <summary>A request as it goes over the wire, so that building it is not measured.</summary>
    public static byte[] Request(string method, string path, byte[]? body = null)
    {
        var head = new StringBuilder($"{method} {path} HTTP/1.1\r\nHost: docker\r\n");
        if (body is not null)
            head.Append("Content-Type: application/json\r\n");
        if (method != "GET")
            head.Append(CultureInfo.InvariantCulture, $"Content-Length: {body?.Length ?? 0}\r\n");
        return [.. Encoding.ASCII.GetBytes(head.Append("\r\n").ToString()), .. body ?? []];
    }

    /// <returns>The status and the body, which is valid until the next call.</returns>
    public (int Status, ReadOnlyMemory<byte> Body) Call(byte[] request)
    {
        (_start, _end) = (0, 0);
        for (var sent = 0; sent < request.Length; )
            sent += _socket.Send(request, sent, request.Length - sent, SocketFlags.None);
        var head = Encoding.ASCII.GetString(Until(Blank).Span);
        var status = int.Parse(head.AsSpan(9, 3), CultureInfo.InvariantCulture);
        if (head.Contains("Transfer-Encoding: chunked", StringComparison.OrdinalIgnoreCase))
            return (status, Chunks());
        var at = head.IndexOf("Content-Length: ", StringComparison.OrdinalIgnoreCase);
        return (
            status,
            at < 0
                ? default
                : Take(int.Parse(head.AsSpan(at + 16).ToString().Split('\r')[0], CultureInfo.InvariantCulture))
        );
    }

    /// <summary>The same, for calls that must succeed.</summary>
    public ReadOnlyMemory<byte> Expect(byte[] request)
    {
        var (status, body) = Call(request);
        return status is >= 200 and < 300
            ? body
            : throw new InvalidOperationException($"status {status}: {Encoding.UTF8.GetString(body.Span)}");
    }

    byte[] Chunks()
    {
        using var body = new MemoryStream();
        while (true)
        {
            var size = int.Parse(
                Encoding.ASCII.GetString(Until(Line).Span),
                NumberStyles.HexNumber,
                CultureInfo.InvariantCulture
            );
            body.Write(Take(size).Span);
            Until(Line);
            if (size == 0)
                return body.ToArray();
        }
    }

    ReadOnlyMemory<byte> Until(byte[] mark)
    {
        int at;
        while ((at = _buffer.AsSpan(_start, _end - _start).IndexOf(mark)) < 0)
            Receive();
        var part = _buffer.AsMemory(_start, at);
        _start += at + mark.Length;
        return part;
    }

    ReadOnlyMemory<byte> Take(int count)
    {
        while (_end - _start < count)
            Receive();
        var part = _buffer.AsMemory(_start, count);
        _start += count;
        return part;
    }

    void Receive()
    {
        if (_end == _buffer.Length)
            Array.Resize(ref _buffer, _buffer.Length * 2);
        var count = _socket.Receive(_buffer, _end, _buffer.Length - _end, SocketFlags.None);
        if (count == 0)
            throw new IOException("the engine hung up");
        _end += count;
    }

    public void Dispose() => _socket.Dispose();
}
