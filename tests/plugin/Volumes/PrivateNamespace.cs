// SPDX-License-Identifier: Apache-2.0
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Tests.Volumes;

/// <summary>A thread whose mounts are its own: Linux gives each thread its mount namespace, so the machine sees nothing
/// of what a test mounts, and all is gone when the thread ends. Processes started by the thread, and its own threads,
/// are in the same namespace.</summary>
static partial class PrivateNamespace
{
    const int NewMounts = 0x20000;
    const ulong RecursivePrivate = 16384 | 1 << 18;

    public static void Run(Action test)
    {
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                if (Unshare(NewMounts) != 0 || Mount(null, "/", null, RecursivePrivate, null) != 0)
                    throw new InvalidOperationException(
                        $"these tests mount for real and need root: errno {Marshal.GetLastPInvokeError()}"
                    );
                test();
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        });
        thread.Start();
        thread.Join();
        failure?.Throw();
    }

    [LibraryImport("libc", EntryPoint = "unshare", SetLastError = true)]
    private static partial int Unshare(int flags);

    [LibraryImport("libc", EntryPoint = "mount", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Mount(string? source, string target, string? type, ulong flags, string? data);
}
