// SPDX-License-Identifier: Apache-2.0
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>Another authorization plugin: it allows all or nearly all, and does something before the engine does what
/// it is called for.</summary>
sealed class SecondPlugin : IDisposable
{
    public const string Name = "second";

    readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    readonly string _path;
    readonly Action<string> _before;
    readonly string _implements;
    readonly Func<string, bool> _denies;

    /// <param name="folder">Where the engine looks for sockets.</param>
    /// <param name="before">Is told method and URI of each call before the engine does it, and holds it up.</param>
    /// <param name="name">Its name to the engine.</param>
    /// <param name="implements">Another interface than <c>authz</c>: it answers each call with an empty object, and
    /// <paramref name="before"/> is told the path.</param>
    /// <param name="denies">Which calls, by method and URI, it denies; null: none.</param>
    public SecondPlugin(
        string folder,
        Action<string> before,
        string name = Name,
        string implements = "authz",
        Func<string, bool>? denies = null
    )
    {
        (_path, _before, _implements, _denies) = (
            Path.Combine(Directory.CreateDirectory(folder).FullName, name + ".sock"),
            before,
            implements,
            denies ?? (_ => false)
        );
        File.Delete(_path);
        _listener.Bind(new UnixDomainSocketEndPoint(_path));
        _listener.Listen();
        _ = AcceptAsync();
    }

    public void Dispose()
    {
        _listener.Dispose();
        File.Delete(_path);
    }

    async Task AcceptAsync()
    {
        try
        {
            // A thread a connection: what one call sets off comes back here as others.
            while (true)
            {
                var connection = await _listener.AcceptAsync();
                _ = Task.Factory.StartNew(() => Serve(connection), TaskCreationOptions.LongRunning);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException) { }
    }

    void Serve(Socket connection)
    {
        using var stream = new NetworkStream(connection, ownsSocket: true);
        var request = ReadRequest(stream);
        var isDenied = false;
        if (
            request.Contains("/AuthZPlugin.AuthZReq", StringComparison.Ordinal)
            && request.IndexOf('{', StringComparison.Ordinal) is var start and >= 0
        )
        {
            using var call = JsonDocument.Parse(request[start..(request.LastIndexOf('}') + 1)]);
            var what = $"{call.RootElement.GetProperty("RequestMethod")} {call.RootElement.GetProperty("RequestUri")}";
            _before(what);
            isDenied = _denies(what);
        }
        var isActivation = request.Contains("/Plugin.Activate", StringComparison.Ordinal);
        if (!isActivation && _implements != "authz")
            _before(request.Split(' ')[1]);
        var answer =
            isActivation ? $$"""{"Implements":["{{_implements}}"]}"""
            : _implements != "authz" ? "{}"
            : isDenied ? """{"Allow":false,"Msg":"no"}"""
            : """{"Allow":true}""";
        stream.Write(
            Encoding.ASCII.GetBytes(
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.plugins.v1.2+json\r\nContent-Length: "
                    + $"{answer.Length}\r\nConnection: close\r\n\r\n{answer}"
            )
        );
    }

    /// <summary>Head and body; a body in chunks is left in them, which its JSON, being in one, does not mind.</summary>
    static string ReadRequest(NetworkStream stream)
    {
        var text = new StringBuilder();
        var buffer = new byte[64 << 10];
        while (!IsWhole(text.ToString()) && stream.Read(buffer) is > 0 and var read)
            text.Append(Encoding.UTF8.GetString(buffer, 0, read));
        return text.ToString();
    }

    static bool IsWhole(string text)
    {
        const string Length = "Content-Length: ";
        var end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        if (end < 0)
            return false;
        if (text.Contains("Transfer-Encoding: chunked", StringComparison.Ordinal))
            return text.EndsWith("0\r\n\r\n", StringComparison.Ordinal);
        var at = text.IndexOf(Length, StringComparison.Ordinal);
        return at < 0 || text.Length >= end + 4 + int.Parse(text[(at + Length.Length)..text.IndexOf('\r', at)], null);
    }
}
