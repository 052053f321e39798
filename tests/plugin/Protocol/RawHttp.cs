// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Runai.GpuMemory.Tests.Protocol;

/// <summary>An HTTP client that sends just the bytes it is told to, as the engine's Go client does: no Content-Type,
/// keep-alive.</summary>
sealed class RawHttp : IDisposable
{
    readonly Socket _socket;
    readonly NetworkStream _stream;

    public RawHttp(string path)
        : this(NewSocket(), path) { }

    /// <summary>On a socket that was made before.</summary>
    public RawHttp(Socket socket, string path)
    {
        _socket = socket;
        _socket.Connect(new UnixDomainSocketEndPoint(path));
        _stream = new(_socket);
    }

    public static Socket NewSocket() =>
        new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { ReceiveTimeout = 60_000 };

    public (int Status, string Body) Call(string method, string body) => Call(method, Encoding.UTF8.GetBytes(body));

    public (int Status, string Body) Call(string method, byte[] body)
    {
        var head =
            $"POST /{method} HTTP/1.1\r\nHost: plugin\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: "
            + $"{body.Length}\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n\r\n";
        try
        {
            _stream.Write([.. Encoding.UTF8.GetBytes(head), .. body]); // at once, as Go does
        }
        catch (IOException)
        {
            // answered before all was sent
        }
        return Receive();
    }

    public void Send(string text) => _stream.Write(Encoding.UTF8.GetBytes(text));

    public (int Status, string Body) Receive()
    {
        var status = int.Parse(ReadLine().Split(' ')[1], CultureInfo.InvariantCulture);
        var length = 0;
        for (var line = ReadLine(); line.Length > 0; line = ReadLine())
            if (line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase))
                length = int.Parse(line["Content-Length:".Length..], CultureInfo.InvariantCulture);
        var body = new byte[length];
        _stream.ReadExactly(body);
        return (status, Encoding.UTF8.GetString(body));
    }

    /// <summary>Whether the other side has closed the connection, or closes it within a minute.</summary>
    public bool IsClosed() => _stream.ReadByte() < 0;

    string ReadLine()
    {
        var line = new StringBuilder();
        for (var b = _stream.ReadByte(); b is not '\n'; b = _stream.ReadByte())
            line.Append(b >= 0 ? (char)b : throw new EndOfStreamException());
        return line.ToString().TrimEnd('\r');
    }

    public void Dispose()
    {
        _stream.Dispose();
        _socket.Dispose();
    }
}
