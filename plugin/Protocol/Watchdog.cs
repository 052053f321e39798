// SPDX-License-Identifier: Apache-2.0
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Protocol;

/// <summary>Ends the process when it hangs, so that the engine starts it again: the engine itself waits for two
/// minutes, in every API call. It hangs when it does not answer a call of its own on its own socket, which comes by all
/// that calls of the engine come by, and by nothing of the engine's.</summary>
/// <remarks>Two threads that need no other. Time counts by steps: while the machine sleeps, or this process is stopped
/// or gets no processor, no steps are made. A process that is stopped for good (SIGSTOP) stops the watchdog
/// too.</remarks>
sealed partial class Watchdog(PluginSettings settings, IHostApplicationLifetime lifetime, ILogger<Watchdog> log)
    : IHostedService
{
    /// <summary>A plugin that dies twice while the engine waits for its socket is given up. The engine waits 12.5
    /// s.</summary>
    static readonly TimeSpan StartupPeriod = TimeSpan.FromSeconds(15);
    static readonly TimeSpan Every = TimeSpan.FromSeconds(5);
    static readonly TimeSpan LastWord = TimeSpan.FromMilliseconds(200);

    readonly UnixDomainSocketEndPoint _socket = new(settings.Socket);
    readonly HangSteps _hang = new();

    // Written by the thread that asks.
    long _asked,
        _answered;

    bool IsEnding => lifetime.ApplicationStopping.IsCancellationRequested;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        new Thread(Ask) { IsBackground = true, Name = "watchdog asks" }.Start();
        new Thread(Watch) { IsBackground = true, Name = "watchdog" }.Start();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

#pragma warning disable RS0030 // Threads of its own: the pool may be what hangs.
    void Ask()
    {
        for (Thread.Sleep(StartupPeriod); !IsEnding; Thread.Sleep(Every))
        {
            Volatile.Write(ref _asked, _asked + 1);
            while (!IsAnswered(_socket) && !IsEnding)
                Thread.Sleep(HangSteps.Step);
            Volatile.Write(ref _answered, _asked);
        }
    }

    /// <summary>Whether a call is answered, for as long as it takes. Sockets that are used like this need no other
    /// thread.</summary>
    internal static bool IsAnswered(UnixDomainSocketEndPoint place)
    {
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Connect(place);
            socket.Send(
                "POST /Plugin.Activate HTTP/1.1\r\nHost: plugin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8
            );
            Span<byte> answer = stackalloc byte[16];
            return socket.Receive(answer) > 0;
        }
        catch (Exception e) when (e is SocketException or OutOfMemoryException)
        {
            return false;
        }
    }

    void Watch()
    {
        while (!IsEnding)
        {
            Thread.Sleep(HangSteps.Step);
            if (_hang.IsTooLong(Volatile.Read(ref _asked), Volatile.Read(ref _answered)) && !IsEnding)
                End();
        }
    }

    void End()
    {
        // What hangs may be the log.
        new Thread(() => LogHangs(log)) { IsBackground = true }.Start();
        Thread.Sleep(LastWord);
        _ = Kill(Environment.ProcessId, SigKill);
    }
#pragma warning restore RS0030

    const int SigKill = 9;

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);

    [LoggerMessage(
        105,
        LogLevel.Critical,
        "the plugin has not answered a call of its own for 10 s: this process ends, and the engine restarts it"
    )]
    static partial void LogHangs(ILogger logger);
}
