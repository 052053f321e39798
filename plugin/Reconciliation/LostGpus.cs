// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>Containers that had a GPU when they were looked at first, and may not open its nodes any more: systemd
/// writes the device rules of its units again (<c>systemctl daemon-reload</c>), and knows of no node that NVIDIA's hook
/// added. New programs fail there with <c>Failed to initialize NVML: Unknown Error</c>.</summary>
sealed partial class LostGpus(
    RunningContainers running,
    IDeviceRules rules,
    PluginSettings settings,
    TimeProvider time,
    ILogger<LostGpus> log
) : BackgroundService
{
    readonly ConcurrentDictionary<string, (int Pid, bool IsLost)> _seen = new(StringComparer.Ordinal);

    /// <summary>For the run that has this process, by the last look.</summary>
    public bool IsLost(RunningContainer container) =>
        _seen.TryGetValue(container.Id, out var seen) && seen == (container.Pid, true);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        settings.WatchUse == TimeSpan.Zero
            ? Task.CompletedTask
            : Loop.EveryAsync(
                settings.WatchUse,
                time,
                _ =>
                {
                    Look();
                    return Task.CompletedTask;
                },
                log,
                stoppingToken
            );

    /// <summary>Some file of the kernel's a container.</summary>
    public void Look()
    {
        foreach (var id in _seen.Keys.Except(running.Ids, StringComparer.Ordinal))
            _seen.TryRemove(id, out _);
        foreach (var container in running.All.Where(one => one.Gpus is not null))
            Look(container);
    }

    void Look(RunningContainer container)
    {
        var isAllowed = rules.AllowGpus(container.Pid);
        if (isAllowed is true)
            _seen[container.Id] = (container.Pid, false);
        else if (isAllowed is false && _seen.TryUpdate(container.Id, (container.Pid, true), (container.Pid, false)))
            LogLost(log, container.Id, container.Name);
    }

    [LoggerMessage(
        518,
        LogLevel.Warning,
        "container={Container} name={Name} has lost its GPU: its device rules were written again without it, as "
            + "systemctl daemon-reload does; restart the container"
    )]
    static partial void LogLost(ILogger logger, string container, string name);
}
