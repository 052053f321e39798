// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Net.Sockets;

namespace Runai.GpuMemory.ApiBench;

/// <summary>What the plugin takes of the machine.</summary>
static class Footprint
{
    const double TicksPerSecond = 100;

    /// <summary>Disables and enables the plugin; the time from its process's begin to when its socket answers. The
    /// engine's own pauses are not in it.</summary>
    public static TimeSpan Ready(Engine engine)
    {
        engine.Docker("plugin", "disable", "-f", Engine.Plugin);
        var socket = engine.PluginSocket();
        var enable = Task.Run(() => engine.Docker("plugin", "enable", Engine.Plugin));
        while (!Answers(socket) && !enable.IsCompleted)
            Thread.Sleep(2);
        var up = Uptime();
        enable.Wait();
        // Field 22 of stat: when the process began, in ticks since boot.
        var stat = File.ReadAllText($"/proc/{engine.PluginProcess()}/stat");
        return TimeSpan.FromSeconds(
            up
                - double.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[19], CultureInfo.InvariantCulture)
                    / TicksPerSecond
        );
    }

    /// <summary>Resident memory in MB.</summary>
    public static double Resident(Engine engine) =>
        long.Parse(
            File.ReadLines($"/proc/{engine.PluginProcess()}/status")
                .First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal))
                .Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
            CultureInfo.InvariantCulture
        )
        * 1024
        / 1e6;

    /// <summary>When nobody has called for a while.</summary>
    public static double AtRest(Engine engine)
    {
        Thread.Sleep(TimeSpan.FromSeconds(15));
        return Resident(engine);
    }

    /// <summary>Of the plugin's files, in MB.</summary>
    public static double RootFileSystem(string plugin) =>
        new DirectoryInfo(Path.Combine(plugin, "rootfs"))
            .EnumerateFiles("*", SearchOption.AllDirectories)
            .Sum(file => file.Length) / 1e6;

    static double Uptime() =>
        double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0], CultureInfo.InvariantCulture);

    static bool Answers(string path)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
