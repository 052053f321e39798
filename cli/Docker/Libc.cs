// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Cli.Docker;

/// <summary>Calls of the C library. Those that answer an int: 0 is success; posix_spawn's answer the error
/// number.</summary>
static unsafe partial class Libc
{
    public const int SigPipe = 13;
    public const int CloseOnExec = 0x80000; // O_CLOEXEC
    public const int WriteOnly = 1;
    public const int ReadOnly = 0;

    /// <summary>Returns only where it failed, with the reason in errno.</summary>
    [LibraryImport("libc", EntryPoint = "execvp", SetLastError = true)]
    public static partial int Exec(byte* file, byte** words);

    /// <summary>What a signal does: 0 is the default.</summary>
    [LibraryImport("libc", EntryPoint = "signal")]
    public static partial nint Signal(int signal, nint handler);

    [LibraryImport("libc", EntryPoint = "kill")]
    public static partial int Kill(int process, int signal);

    [LibraryImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    public static partial int Pipe(int* ends, int flags);

    [LibraryImport("libc", EntryPoint = "waitpid", SetLastError = true)]
    public static partial int Wait(int process, int* status, int options);

    [LibraryImport("libc", EntryPoint = "posix_spawnp")]
    public static partial int Spawn(
        int* process,
        byte* file,
        void* actions,
        void* attributes,
        byte** words,
        byte** environment
    );

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_init")]
    public static partial int InitActions(void* actions);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_adddup2")]
    public static partial int AddDuplicate(void* actions, int from, int to);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_addopen", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int AddOpen(void* actions, int to, string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_destroy")]
    public static partial int DestroyActions(void* actions);
}
