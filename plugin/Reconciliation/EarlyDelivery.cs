// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>Gives a container its quota when its first program opens the shim, which is before that program runs. The
/// kernel says who it is and which directory it was, admission has just said what it may have; the engine, busy with
/// starting, is not asked. What it says later settles the same (and rights it, where a container had its hands in a
/// neighbour's directory), and is all there is for containers that came past admission.</summary>
sealed partial class EarlyDelivery(
    IShimWatch watch,
    AllowedStarts starts,
    IMountTable mounts,
    IProcessCgroups processes,
    IPrivateDirectories directories,
    IActivations activations,
    ILogger<EarlyDelivery> log
) : IHostedService
{
    /// <summary>Threads of its own: they wait in a system call, and when many containers start, the pool's are busy
    /// with mounting.</summary>
    const int Threads = 4;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        for (var n = 0; n < Threads; n++)
            new Thread(Follow) { IsBackground = true, Name = "openings of the shim" }.Start();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    void Follow() =>
        Loop.Run(
            () =>
            {
                if (watch.Wait() is not { } openings)
                    return false;
                foreach (var opening in openings)
                    Opened(opening);
                return true;
            },
            log
        );

    internal void Opened(ShimOpening opening)
    {
        var pid = opening.Pid;
        try
        {
            var containers = processes.ContainersOf(pid);
            if (containers.Count == 0)
                return;
            var found = opening.DirId is { } known ? [known] : DirectoriesOf(pid);
            // The first program says enough; the others of a container shall not cost anything.
            found.ForEach(directories.StopWatching);
            // The inner one: a container can be put under the control group of another.
            if (starts.Find(containers[^1]) is not { } start)
                return;
            var quota = ContainerReconciler.QuotaOf(start.Id, start.Verdict);
            foreach (var dirId in found)
                activations.Claim(
                    dirId,
                    start.Id,
                    pid,
                    () =>
                    {
                        if (directories.WriteQuota(dirId, quota))
                            LogQuotaWrittenEarly(log, start.Id, start.Name, dirId, quota.Error ?? quota.Limit ?? "");
                    }
                );
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotEarly(log, pid, e.Message);
        }
        catch (Exception e)
        {
            // A thread of its own: nothing else catches.
            ReconciliationLog.LogBug(log, e);
        }
    }

    List<string> DirectoriesOf(int pid)
    {
        var found = new List<string>();
        foreach (var mount in mounts.OneByOne(pid))
            if (
                directories.Find(mount) is { } dirId
                && !PrivateDirectories.IsHandedOut(mount, dirId)
                && !found.Contains(dirId)
            )
                found.Add(dirId);
        return found;
    }

    [LoggerMessage(
        511,
        LogLevel.Information,
        "process {Pid} opened the shim, and its quota follows with the engine's event: {Problem}"
    )]
    static partial void LogNotEarly(ILogger logger, int pid, string problem);

    [LoggerMessage(
        512,
        LogLevel.Information,
        "quota container={Container} name={Name} directory={Directory} limit={Limit}"
    )]
    static partial void LogQuotaWrittenEarly(
        ILogger logger,
        string container,
        string name,
        string directory,
        string limit
    );
}
