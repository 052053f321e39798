// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Runai.GpuMemory.EngineTests;

/// <summary>What a server answered.</summary>
sealed record RawAnswer(int Status, string Body)
{
    public override string ToString() => $"{Status} {Body.TrimEnd()}";
}

/// <summary>HTTP/1.1 on a unix socket without the good manners of a library: nothing is normalised, encoded or left
/// out.</summary>
static class RawClient
{
    const int Deadline = 60_000;

    /// <summary>Sends one call and reads the answer to its end. No body means no length as well. Headers are given as
    /// <c>Name: value</c>. One with the name Content-Type, Content-Length or Host takes the place of the usual one;
    /// with an empty value it leaves it out.</summary>
    public static RawAnswer Send(string socket, string method, string target, byte[]? body, params string[] headers)
    {
        var head = new StringBuilder($"{method} {target} HTTP/1.1\r\n");
        void Usual(string name, string value)
        {
            if (!headers.Any(h => h.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase)))
                head.Append(CultureInfo.InvariantCulture, $"{name}: {value}\r\n");
        }

        Usual("Host", "docker");
        Usual("Connection", "close");
        if (body is not null)
        {
            Usual("Content-Type", "application/json");
            Usual("Content-Length", $"{body.Length}");
        }

        foreach (var header in headers)
            if (!header.EndsWith(": ", StringComparison.Ordinal))
                head.Append(header).Append("\r\n");
        head.Append("\r\n");

        using var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        {
            ReceiveTimeout = Deadline,
            SendTimeout = Deadline,
        };
        connection.Connect(new UnixDomainSocketEndPoint(socket));
        connection.Send(Encoding.UTF8.GetBytes(head.ToString()));
        try
        {
            if (body is not null)
                connection.Send(body);
        }
        catch (SocketException)
        {
            // It answered before it had read all.
        }

        return Read(connection);
    }

    static RawAnswer Read(Socket connection)
    {
        using var all = new MemoryStream();
        var buffer = new byte[16 << 10];
        try
        {
            for (int n; (n = connection.Receive(buffer)) > 0; )
                all.Write(buffer, 0, n);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset && all.Length > 0) { }

        // A character a byte, for the engine counts bytes.
        var text = Encoding.Latin1.GetString(all.ToArray());
        var end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        if (end < 0)
            return new(0, Decode(text));
        var body = text[(end + 4)..];
        if (text[..end].Contains("transfer-encoding: chunked", StringComparison.OrdinalIgnoreCase))
            body = Unchunk(body);
        return new(int.Parse(text.Split(' ')[1], CultureInfo.InvariantCulture), Decode(body));
    }

    static string Decode(string bytes) => Encoding.UTF8.GetString(Encoding.Latin1.GetBytes(bytes));

    static string Unchunk(string body)
    {
        var whole = new StringBuilder();
        while (body.IndexOf("\r\n", StringComparison.Ordinal) is var line and > 0)
        {
            var length = int.Parse(body[..line], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            if (length == 0 || line + 2 + length > body.Length)
                break;
            whole.Append(body, line + 2, length);
            body = body[(line + 2 + length + 2)..];
        }

        return whole.ToString();
    }
}
