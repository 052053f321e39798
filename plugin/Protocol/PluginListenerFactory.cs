// SPDX-License-Identifier: Apache-2.0
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace Runai.GpuMemory.Protocol;

/// <summary>Makes the <see cref="PluginListener"/> of the plugin's socket.</summary>
sealed class PluginListenerFactory(IAuthorizer authorizer, ILogger<PluginListener> log) : IConnectionListenerFactory
{
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(new PluginListener(SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint), new(authorizer), log));
}
