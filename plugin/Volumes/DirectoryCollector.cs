// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Volumes;

/// <summary>Removes private directories that no container has any more: soon after an unmount, and now and then what
/// was left otherwise (an engine that was killed, a reboot).</summary>
sealed partial class DirectoryCollector(
    Activations activations,
    IEngineClient engine,
    TimeProvider time,
    ILogger<DirectoryCollector> log
) : BackgroundService
{
    static readonly TimeSpan Every = TimeSpan.FromSeconds(30);

    /// <summary>Containers that end together are collected together.</summary>
    static readonly TimeSpan BatchDelay = TimeSpan.FromMilliseconds(200);

    /// <summary>How long a mounted directory may wait for a process that has it: an engine may take its time between
    /// mounting and starting.</summary>
    static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Loop.RunAsync(log, stoppingToken, CollectAsync, WaitAsync);

    async Task WaitAsync(CancellationToken cancel)
    {
        await Task.WhenAny(activations.Idle.WaitToReadAsync(cancel).AsTask(), Task.Delay(Every, time, cancel));
        cancel.ThrowIfCancellationRequested();
        await Task.Delay(BatchDelay, time, cancel);
        activations.Idle.TryRead(out _);
    }

    async Task CollectAsync(CancellationToken cancel)
    {
        try
        {
            await activations.CollectAsync(Grace, reference => RunsAsync(reference, cancel));
        }
        catch (EngineException e)
        {
            LogRunsUnknown(log, e.Message);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogCollectionFailed(log, e.Message);
        }
    }

    /// <summary>By the engine's word. Of one whose description is too long to be read that is unknown.</summary>
    async Task<bool> RunsAsync(MountReference reference, CancellationToken cancel)
    {
        try
        {
            return await engine.GlanceAtContainerAsync(reference.Container!, cancel)
                is { State: { Running: true, Pid: > 0 } };
        }
        catch (EngineException e) when (e.IsTooLong)
        {
            return true;
        }
    }

    [LoggerMessage(207, LogLevel.Error, "removing unused directories failed, trying again: {Problem}")]
    static partial void LogCollectionFailed(ILogger logger, string problem);

    [LoggerMessage(
        216,
        LogLevel.Debug,
        "the engine does not list the running containers, so their directories are kept: {Problem}"
    )]
    static partial void LogRunsUnknown(ILogger logger, string problem);
}
