// SPDX-License-Identifier: Apache-2.0
using Microsoft.AspNetCore.Connections;

namespace Runai.GpuMemory.Protocol;

/// <summary>Where the engine calls.</summary>
static class PluginSocket
{
    /// <summary>The web server gets its connections from <see cref="PluginListener"/>, for what that does not
    /// answer.</summary>
    public static IWebHostBuilder UsePluginSocket(this IWebHostBuilder host, string path) =>
        host.UseKestrelCore()
            .ConfigureServices(services => services.AddSingleton<IConnectionListenerFactory, PluginListenerFactory>())
            .ConfigureKestrel(kestrel =>
            {
                kestrel.AddServerHeader = false;
                // The engine's connections live as long as it likes: one that ends just when a call comes costs that
                // call a second.
                kestrel.Limits.KeepAliveTimeout = TimeSpan.FromDays(365); // "infinite" ends them after a second
                kestrel.ListenUnixSocket(path);
            });
}
