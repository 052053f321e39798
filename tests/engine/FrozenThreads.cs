// SPDX-License-Identifier: Apache-2.0
using System.ComponentModel;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.EngineTests;

/// <summary>Holds most threads of another process, by ptrace(2): as if each waited for something that never comes.
/// Until the process ends or this does.</summary>
sealed partial class FrozenThreads : IDisposable
{
    const nint Seize = 0x4206,
        Interrupt = 0x4207,
        Detach = 17;
    const int AnyKind = 0x40000000,
        OfThisThread = 0x20000000,
        NoHang = 1,
        NoSuchThread = 3; // ESRCH: it has ended

    readonly TaskCompletionSource _held = new();
    readonly Thread _tracer;
    volatile bool _end;

    /// <param name="process">Its ID.</param>
    /// <param name="except">Threads whose names begin so go on.</param>
    public FrozenThreads(int process, string except)
    {
        // All calls must come from the thread that began.
        _tracer = new Thread(() => Trace(process, except)) { IsBackground = true };
        _tracer.Start();
        _held.Task.GetAwaiter().GetResult();
    }

    void Trace(int process, string except)
    {
        var held = new List<int>();
        try
        {
            foreach (var task in Directory.GetDirectories($"/proc/{process}/task"))
            {
                if (
                    ProcFile.TryRead(Path.Combine(task, "comm")) is not { } name
                    || name.StartsWith(except, StringComparison.Ordinal)
                )
                    continue;
                var thread = int.Parse(Path.GetFileName(task), CultureInfo.InvariantCulture);
                if (Ptrace(Seize, thread, 0, 0) != 0 || Ptrace(Interrupt, thread, 0, 0) != 0)
                {
                    if (Marshal.GetLastPInvokeError() == NoSuchThread)
                        continue;
                    throw new Win32Exception($"ptrace {thread}: {Marshal.GetLastPInvokeErrorMessage()}");
                }
                held.Add(thread);
            }
            _held.SetResult();
        }
        catch (Exception e)
        {
            _held.SetException(e);
        }
        // The process that was killed is gone for its parent when all of its threads were seen here.
        while (!_end && WaitPid(-1, 0, AnyKind | OfThisThread | NoHang) >= 0)
            Thread.Sleep(20);
        held.ForEach(thread => Ptrace(Detach, thread, 0, 0));
    }

    public void Dispose()
    {
        _end = true;
        _tracer.Join();
    }

    [LibraryImport("libc", EntryPoint = "ptrace", SetLastError = true)]
    private static partial nint Ptrace(nint request, int thread, nint address, nint data);

    [LibraryImport("libc", EntryPoint = "waitpid")]
    private static partial int WaitPid(int process, nint status, int options);
}
