// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>The handshake. A managed plugin's types come from its config.json and it is never asked; a plain socket
/// below <c>/run/docker/plugins</c> is.</summary>
static class PluginActivate
{
    /// <summary>Maps the handshake, and every other path to status 404.</summary>
    public static IEndpointRouteBuilder MapPluginActivate(this IEndpointRouteBuilder app)
    {
        app.MapPost(
            "/Plugin.Activate",
            context => PluginEndpoint.WriteAsync(context, """{"Implements":["VolumeDriver","authz"]}"""u8.ToArray())
        );
        // The engine asks for optional methods and takes status 404 as "not there".
        app.MapFallback(
            "{**method}",
            context =>
            {
                context.Response.StatusCode = StatusCodes.Status404NotFound;
                return PluginEndpoint.WriteAsync(context, """{"Err":"this plugin has no such method"}"""u8.ToArray());
            }
        );
        return app;
    }
}
