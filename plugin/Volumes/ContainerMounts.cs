// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>By setns(2) into the container's mount namespace: the kernel lets no process change a mount from outside.
/// Each change has a thread of its own, because a namespace of mounts is a thread's that shares neither root nor
/// working folder with others, and because the way to a mount can lead over a file system that never answers (a volume
/// of NFS).</summary>
sealed partial class ContainerMounts(ILogger<ContainerMounts> log) : IContainerMounts
{
    /// <summary>So long a container's file system may take. Ours takes a millisecond.</summary>
    internal TimeSpan MountTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Threads that may hang in file systems.</summary>
    const int MaxThreads = 64;
    const int StackBytes = 256 << 10;

    int _threads,
        _saidNotAllowed;

    public async Task<string?> MakePrivateAsync(int pid, MountEntry mount, string directory)
    {
        if (Interlocked.Increment(ref _threads) > MaxThreads)
        {
            Interlocked.Decrement(ref _threads);
            return "too many containers' file systems do not answer";
        }
        var done = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            new Thread(() => Work(pid, mount, directory, done), StackBytes)
            {
                IsBackground = true,
                Name = "container's mount",
            }.Start();
        }
        catch (OutOfMemoryException)
        {
            Interlocked.Decrement(ref _threads);
            return "there is no memory for a thread";
        }
        try
        {
            return await done.Task.WaitAsync(MountTimeout);
        }
        catch (TimeoutException)
        {
            return $"the way to {mount.Target} does not answer";
        }
    }

    void Work(int pid, MountEntry mount, string directory, TaskCompletionSource<string?> done)
    {
        string? problem;
        try
        {
            problem = MountNamespace.MakePrivate(pid, mount, directory);
        }
        catch (UnauthorizedAccessException e)
        {
            problem = e.Message;
            if (Interlocked.Exchange(ref _saidNotAllowed, 1) == 0)
                LogNotAllowed(log, e.Message);
        }
        catch (Exception e)
        {
            // A thread of its own: nothing else catches.
            problem = e.Message;
        }
        Interlocked.Decrement(ref _threads);
        done.SetResult(problem);
    }

    [LoggerMessage(
        213,
        LogLevel.Warning,
        "the plugin may not enter some containers ({Problem}), which lose the ledger of their processes when "
            + "the plugin is disabled: it needs CAP_SYS_PTRACE, which docker plugin upgrade requests"
    )]
    static partial void LogNotAllowed(ILogger logger, string problem);
}
