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
            kestrel.ListenUnixSocket(path);
        });
}
