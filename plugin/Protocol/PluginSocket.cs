using Microsoft.AspNetCore.Connections;

namespace Runai.GpuMemory.Protocol;

/// <summary>Where the engine calls.</summary>
public static class PluginSocket
{
    public static IWebHostBuilder UsePluginSocket(this IWebHostBuilder host, string path) => host
        .UseKestrelCore()
        .ConfigureServices(services => services.AddSingleton<IConnectionListenerFactory, PluginListenerFactory>())
        .ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.ListenUnixSocket(path);
        });
}
