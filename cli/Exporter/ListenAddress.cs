// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Exporter;

/// <summary>Where the exporter listens: an IP address and a port. Port 0 is one that is free.</summary>
static class ListenAddress
{
    const int MaxShown = 60;

    /// <summary>Where nothing but this machine reaches it.</summary>
    public const string Default = "127.0.0.1:9401";

    /// <summary>Reads ADDRESS:PORT. An IPv6 address is in brackets, and localhost is 127.0.0.1.</summary>
    /// <exception cref="UserException">It is something else.</exception>
    public static IPEndPoint Read(string text)
    {
        var colon = text.LastIndexOf(':');
        if (
            colon > 0
            && ushort.TryParse(text[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var port)
            && AddressOf(text[..colon]) is { } address
        )
            return new(address, port);
        throw new UserException(
            $"invalid value '{Printable.Cut(Printable.Text(text), MaxShown)}' of --listen: "
                + $"type ADDRESS:PORT, such as {Default}"
        );
    }

    static IPAddress? AddressOf(string host)
    {
        if (host == "localhost")
            return IPAddress.Loopback;
        var isBracketed = host is ['[', .., ']'];
        return
            IPAddress.TryParse(isBracketed ? host[1..^1] : host, out var address)
            && isBracketed == (address.AddressFamily == AddressFamily.InterNetworkV6)
            ? address
            : null;
    }
}
