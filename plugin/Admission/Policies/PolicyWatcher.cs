// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>Looks after the policy file. A bind mount tells no changes by inotify that replace the file's folder, so
/// the file is looked at.</summary>
sealed class PolicyWatcher(PolicySource source, TimeProvider time, ILogger<PolicyWatcher> log) : BackgroundService
{
    static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Loop.EveryAsync(Pause, time, RefreshAsync, log, stoppingToken);

    Task RefreshAsync(CancellationToken cancel)
    {
        source.Refresh();
        return Task.CompletedTask;
    }
}
