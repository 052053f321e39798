namespace Runai.GpuMemory.Protocol;

/// <summary>Where the engine calls.</summary>
public static class PluginSocket
{
    /// <summary>Inline: a call is answered by the thread that received it. The engine's callers wait for each change of threads.</summary>
    public static IWebHostBuilder UsePluginSocket(this IWebHostBuilder host, string path) => host
        .UseKestrelCore()
        .UseSockets(sockets => sockets.UnsafePreferInlineScheduling = true)
        .ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            // Of each connection's, that the server keeps for a while; a body of megabytes is out of it as it comes.
            kestrel.Limits.MaxRequestBufferSize = 1 << 17;
            kestrel.ListenUnixSocket(path);
        });
}
