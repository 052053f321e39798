// SPDX-License-Identifier: Apache-2.0
using System.Net.Sockets;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Docker;

/// <summary>What a docker CLI (25 and later) ends its plugins by: it passes no signal on, it closes a
/// connection.</summary>
static class PluginSocket
{
    /// <summary>Calls back when docker closes it, or ends. Never, where docker offers none.</summary>
    public static void OnClosed(Action end)
    {
        if (Variables.Get("DOCKER_CLI_PLUGIN_SOCKET")?.Text() is not ['@', .. var name])
            return;
        new Thread(() => Wait(name, end)) { IsBackground = true }.Start();
    }

    static void Wait(string name, Action end)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint($"\0{name}"));
            _ = socket.Receive(new byte[1]);
        }
        catch (SocketException) { } // it is closed already

        end();
    }
}
