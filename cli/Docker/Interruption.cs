// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.Cli.Docker;

/// <summary>While it lives, Ctrl-C and requests to end come to a docker that is asked, and then end this program by way
/// of its clean-up.</summary>
sealed class Interruption : IDisposable
{
    readonly PosixSignalRegistration[] _signals;
    readonly ManualResetEventSlim _came = new();
    volatile int _signal;
    volatile int _child;

    public Interruption() =>
        _signals = [
            .. from signal in (PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP]
            select PosixSignalRegistration.Create(signal, Handle),
        ];

    /// <summary>The numbers of Linux, which PosixSignal does not have.</summary>
    static int NumberOf(PosixSignal signal) =>
        signal switch
        {
            PosixSignal.SIGHUP => 1,
            PosixSignal.SIGINT => 2,
            _ => 15,
        };

    void Handle(PosixSignalContext context)
    {
        context.Cancel = true;
        Come(NumberOf(context.Signal));
    }

    /// <summary>As if the signal of this number had come.</summary>
    public void Come(int signal)
    {
        _signal = signal;
        if (_child is var child and > 0)
            _ = Libc.Kill(child, _signal);
        _came.Set();
    }

    /// <summary>The exit code of a program that such a signal ends; null: none came.</summary>
    public int? ExitCode => _signal is var signal and > 0 ? 128 + signal : null;

    /// <summary>Waits so long, or until a signal comes.</summary>
    public void Wait(TimeSpan time) => _came.Wait(time);

    /// <summary>The process that gets the signals; 0: none.</summary>
    public void PassTo(int child) => _child = child;

    /// <summary>Ends the command at the next safe place after a signal, with 128 and its number.</summary>
    /// <exception cref="UserException">A signal came.</exception>
    public void ThrowIfCame()
    {
        if (ExitCode is { } code)
            throw new UserException("interrupted", code);
    }

    /// <summary>The event stays: a handler may run still.</summary>
    public void Dispose() => Array.ForEach(_signals, signal => signal.Dispose());
}
