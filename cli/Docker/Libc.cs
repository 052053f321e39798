// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Cli.Docker;

/// <summary>Calls of the C library. Those that answer an int: 0 is success; posix_spawn's answer the error
/// number.</summary>
static unsafe partial class Libc
{
    /// <summary>The number of SIGPIPE on Linux.</summary>
    public const int SigPipe = 13;

    /// <summary>The number of SIGTERM on Linux.</summary>
    public const int SigTerm = 15;

    /// <summary>O_CLOEXEC of x86-64 and arm64.</summary>
    public const int CloseOnExec = 0x80000;

    /// <summary>O_WRONLY.</summary>
    public const int WriteOnly = 1;

    /// <summary>O_RDONLY.</summary>
    public const int ReadOnly = 0;

    /// <summary>EINTR.</summary>
    public const int Interrupted = 4;

    /// <summary>EAGAIN.</summary>
    public const int WouldBlock = 11;

    /// <summary>Returns only where it failed, with the reason in errno.</summary>
    [LibraryImport("libc", EntryPoint = "execvp", SetLastError = true)]
    public static partial int Exec(byte* file, byte** words);

    /// <summary>What a signal does: 0 is the default, 1 is nothing.</summary>
    [LibraryImport("libc", EntryPoint = "signal")]
    public static partial nint Signal(int signal, nint handler);

    /// <summary>Sends a signal. A process that is gone is an error that callers ignore.</summary>
    [LibraryImport("libc", EntryPoint = "kill")]
    public static partial int Kill(int process, int signal);

    /// <summary>How many lines the terminal has that a file descriptor leads to; where it does not say, no
    /// end.</summary>
    public static int LinesOfTerminal(int file)
    {
        var size = stackalloc ushort[4]; // struct winsize: ws_row is the first
        return Control(file, 0x5413, size) == 0 && size[0] > 0 ? size[0] : int.MaxValue; // TIOCGWINSZ
    }

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Control(int file, nuint request, void* argument);

    /// <summary>How many bytes it wrote; -1: none.</summary>
    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(int file, byte* bytes, nuint count);

    /// <summary>Waits until a pipe has something to read, or has come to its end.</summary>
    /// <param name="file">The reading end.</param>
    /// <param name="time">How long; null: for ever.</param>
    /// <returns>False: it has not, or a signal came.</returns>
    public static bool WaitToRead(int file, TimeSpan? time)
    {
        var one = (uint)file | 1L << 32; // struct pollfd: the file, and POLLIN
        return Poll(&one, 1, time is { } left ? (int)Math.Clamp(left.TotalMilliseconds, 0, int.MaxValue) : -1) > 0;
    }

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(long* files, nuint count, int milliseconds);

    /// <summary>Makes a pipe: the reading end, then the writing end.</summary>
    [LibraryImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    public static partial int Pipe(int* ends, int flags);

    /// <summary>Waits for a child. Answers its number, or -1 with the reason in errno (EINTR: again).</summary>
    [LibraryImport("libc", EntryPoint = "waitpid", SetLastError = true)]
    public static partial int Wait(int process, int* status, int options);

    /// <summary>Starts a program, looked up in PATH where its name has no slash.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawnp")]
    public static partial int Spawn(
        int* process,
        byte* file,
        void* actions,
        void* attributes,
        byte** words,
        byte** environment
    );

    /// <summary>Makes an empty list of what a child does with its descriptors.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_init")]
    public static partial int InitActions(void* actions);

    /// <summary>The child gets a descriptor under another number.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_adddup2")]
    public static partial int AddDuplicate(void* actions, int from, int to);

    /// <summary>The child opens a file under this number.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_addopen", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int AddOpen(void* actions, int to, string path, int flags, uint mode);

    /// <summary>Frees the list.</summary>
    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_destroy")]
    public static partial int DestroyActions(void* actions);
}
