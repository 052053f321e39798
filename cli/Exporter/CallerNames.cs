// SPDX-License-Identifier: Apache-2.0
using System.Net;

namespace Runai.GpuMemory.Cli.Exporter;

/// <summary>By which names a caller may call the exporter: those of the Host header. A web page can reach loopback
/// through the browser of a user who is logged in, by a name of its own that leads there (DNS rebinding), and the
/// browser sends this name.</summary>
/// <param name="listening">Where the exporter listens.</param>
sealed class CallerNames(IPAddress listening)
{
    readonly bool _isLoopback = IPAddress.IsLoopback(listening);

    /// <summary>On loopback: localhost and the addresses of loopback. Elsewhere every name, which may be a
    /// proxy's.</summary>
    /// <param name="host">Without the port, an IPv6 address in brackets; empty: the caller says none, as no browser
    /// does.</param>
    public bool Have(string host) =>
        !_isLoopback
        || host is ""
        || host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address);
}
