// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Docker;

/// <summary>Runs docker. Its words reach it byte for byte.</summary>
/// <param name="program">Its path, or a name to look up in PATH.</param>
/// <param name="globals">Go before the words of each captured call.</param>
/// <param name="interruption">What passes signals on to a captured call.</param>
/// <param name="limit">How long a captured call may take; null: as long as it does.</param>
sealed unsafe class DockerProcess(
    byte[] program,
    GlobalOptions? globals = null,
    Interruption? interruption = null,
    TimeSpan? limit = null
)
{
    const int MaxOutput = 32 << 20;
    const int ActionsSize = 256; // of posix_spawn_file_actions_t: 80 in glibc

    /// <summary>What the message begins with where docker took too long. The limit follows, as in
    /// <c>20 s</c>.</summary>
    public const string Late = "docker gave no answer within ";

    /// <summary>The docker that RUNAI_DOCKER names, else the first one in PATH.</summary>
    public static byte[] Default => Variables.Get("RUNAI_DOCKER") ?? "docker"u8.ToArray();

    /// <summary>Docker's options before the command: which engine, and how it is called.</summary>
    public GlobalOptions Globals { get; } = globals ?? GlobalOptions.None;

    /// <summary>What passes signals on; null: they do what they do.</summary>
    public Interruption? Interruption => interruption;

    /// <summary>What is run: a path, or a name to look up in PATH.</summary>
    public string Program => program.Text();

    /// <summary>The same docker, with a limit to the time that a captured call may take.</summary>
    public DockerProcess WithLimit(TimeSpan time) => new(program, Globals, interruption, time);

    /// <summary>Becomes docker: process, terminal, signals and environment stay. Returns only where that
    /// failed.</summary>
    public UserException Replace(IReadOnlyList<byte[]> words)
    {
        using var all = new WordArray([program, .. words]);
        _ = Libc.Exec(all.Pointers[0], all.Pointers);
        return Failed(Marshal.GetLastPInvokeError());
    }

    /// <summary>Runs docker to its end, and answers what it printed.</summary>
    /// <param name="words">Behind the global options.</param>
    /// <param name="config">The folder of its configuration; null: that of the environment.</param>
    /// <param name="hasInput">Whether it has this program's standard input. Docker's help measures the terminal by
    /// it.</param>
    /// <exception cref="UserException">It could not be run, printed too much, took too long, or was
    /// interrupted.</exception>
    public Output Capture(IReadOnlyList<byte[]> words, string? config = null, bool hasInput = false)
    {
        using var line = new WordArray([program, .. Globals.Words, .. words]);
        using var environment = new WordArray(
            config is null ? Variables.All() : Variables.With("DOCKER_CONFIG", config)
        );
        var (output, outputEnd) = Pipe();
        var (error, errorEnd) = Pipe();
        using (output)
        using (error)
        {
            int child;
            using (outputEnd)
            using (errorEnd)
                child = Start(line, environment, outputEnd, errorEnd, hasInput);
            interruption?.PassTo(child);
            var clock = Stopwatch.StartNew();
            var printed = Task.Run(() => Read(output, child, clock));
            var errors = Read(error, child, clock);
            var all = printed.GetAwaiter().GetResult(); // before the child's number may be another's
            var result = new Output(CodeOf(child), all, errors);
            interruption?.PassTo(0);
            interruption?.ThrowIfCame();
            if (result.Out.Length > MaxOutput || result.Error.Length > MaxOutput)
                throw new UserException($"docker printed more than {MaxOutput >> 20} MiB");
            if (clock.Elapsed >= limit)
                throw new UserException($"{Late}{limit?.TotalSeconds} s");
            return result;
        }
    }

    int Start(WordArray words, WordArray environment, SafeFileHandle output, SafeFileHandle error, bool hasInput)
    {
        interruption?.ThrowIfCame();
        var actions = stackalloc byte[ActionsSize];
        int child;
        _ = Libc.InitActions(actions);
        if (!hasInput)
            _ = Libc.AddOpen(actions, 0, "/dev/null", Libc.ReadOnly, 0);
        _ = Libc.AddDuplicate(actions, (int)output.DangerousGetHandle(), 1);
        _ = Libc.AddDuplicate(actions, (int)error.DangerousGetHandle(), 2);
        var failure = Libc.Spawn(&child, words.Pointers[0], actions, null, words.Pointers, environment.Pointers);
        _ = Libc.DestroyActions(actions);
        return failure == 0 ? child : throw Failed(failure);
    }

    static (SafeFileHandle Read, SafeFileHandle Write) Pipe()
    {
        var ends = stackalloc int[2];
        if (Libc.Pipe(ends, Libc.CloseOnExec) != 0)
            throw new UserException($"no pipe to docker: {Marshal.GetLastPInvokeErrorMessage()}");
        return (new(ends[0], ownsHandle: true), new(ends[1], ownsHandle: true));
    }

    /// <summary>All that the child prints. One that does not come to an end is killed, and what it started is not
    /// waited for.</summary>
    byte[] Read(SafeFileHandle handle, int child, Stopwatch clock)
    {
        using var stream = new FileStream(handle, FileAccess.Read, bufferSize: 0);
        using var all = new MemoryStream();
        var part = new byte[16384];
        while (true)
        {
            if (!Libc.WaitToRead((int)handle.DangerousGetHandle(), limit - clock.Elapsed))
            {
                if (limit is null || clock.Elapsed < limit)
                    continue; // a signal came: Interruption passes it on
                _ = Libc.Kill(child, 9);
                break;
            }

            if (stream.Read(part) is not (> 0 and var count))
                break;
            if (all.Length <= MaxOutput)
                all.Write(part, 0, count);
            else
                _ = Libc.Kill(child, 9);
        }

        return all.ToArray();
    }

    static int CodeOf(int child)
    {
        int status;
        while (Libc.Wait(child, &status, 0) < 0 && Marshal.GetLastPInvokeError() == 4) { } // EINTR
        var signal = status & 0x7f;
        return signal == 0 ? status >> 8 & 0xff : 128 + signal;
    }

    UserException Failed(int reason) =>
        new(
            $"{program.Text()} cannot be run: {Marshal.GetPInvokeErrorMessage(reason)}; "
                + "RUNAI_DOCKER names the docker to run",
            reason == 2 ? 127 : 126 // as shells: not found, not runnable
        );
}
