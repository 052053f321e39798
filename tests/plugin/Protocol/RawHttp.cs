using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Runai.GpuMemory.Tests.Protocol;

/// <summary>An HTTP client that sends just the bytes it is told to, as the engine's Go client does: no Content-Type, keep-alive unless an answer says that it is the connection's last.</summary>
sealed class RawHttp(string path) : IDisposable
{
    NetworkStream _stream = Connect(path);
    bool _isOver;

    static NetworkStream Connect(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        return new(socket, ownsSocket: true);
    }

    /// <summary>How many connections were made.</summary>
    public int Connections { get; private set; } = 1;

    public (int Status, string Body) Call(string method, string body) => Call(method, Encoding.UTF8.GetBytes(body));

    public (int Status, string Body) Call(string method, byte[] body)
    {
        var head = $"POST /{method} HTTP/1.1\r\nHost: plugin\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {body.Length}\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n\r\n";
        try
        {
            Send([.. Encoding.UTF8.GetBytes(head), .. body]);
        }
        catch (IOException)
        {
            // answered before all was sent
        }
        return Receive();
    }

    public void Send(string text) => Send(Encoding.UTF8.GetBytes(text));

    void Send(byte[] bytes)
    {
        if (_isOver)
        {
            _stream.Dispose();
            (_stream, _isOver, Connections) = (Connect(path), false, Connections + 1);
        }
        _stream.Write(bytes);
    }

    public (int Status, string Body) Receive()
    {
        var status = int.Parse(ReadLine().Split(' ')[1], CultureInfo.InvariantCulture);
        var length = 0;
        for (var line = ReadLine(); line.Length > 0; line = ReadLine())
        {
            if (line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase))
                length = int.Parse(line["Content-Length:".Length..], CultureInfo.InvariantCulture);
            _isOver |= line.Equals("Connection: close", StringComparison.OrdinalIgnoreCase);
        }
        var body = new byte[length];
        _stream.ReadExactly(body);
        return (status, Encoding.UTF8.GetString(body));
    }

    /// <summary>Whether the other side has closed the connection, or closes it within half a minute.</summary>
    public bool IsClosed()
    {
        _stream.ReadTimeout = 30_000;
        return _stream.ReadByte() < 0;
    }

    string ReadLine()
    {
        var line = new StringBuilder();
        for (var b = _stream.ReadByte(); b is not '\n'; b = _stream.ReadByte())
            line.Append(b >= 0 ? (char)b : throw new EndOfStreamException());
        return line.ToString().TrimEnd('\r');
    }

    public void Dispose() => _stream.Dispose();
}
