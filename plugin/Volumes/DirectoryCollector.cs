namespace Runai.GpuMemory.Volumes;

/// <summary>Removes private directories that nobody has any more: soon after an unmount, and now and then what was left otherwise (an engine that was killed, a reboot).</summary>
public sealed class DirectoryCollector(Activations activations, TimeProvider time, ILogger<DirectoryCollector> log) : BackgroundService
{
    static readonly TimeSpan Every = TimeSpan.FromSeconds(30);
    /// <summary>Containers that end together are collected together.</summary>
    static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(200);
    /// <summary>How long a mounted directory may wait for a process that has it: an engine may take its time between mounting and starting.</summary>
    static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Loop.RunAsync(log, stoppingToken, CollectAsync, WaitAsync);

    async Task WaitAsync(CancellationToken stop)
    {
        await Task.WhenAny(activations.Idle.WaitToReadAsync(stop).AsTask(), Task.Delay(Every, time, stop));
        stop.ThrowIfCancellationRequested();
        await Task.Delay(Gather, time, stop);
        activations.Idle.TryRead(out _);
    }

    Task CollectAsync(CancellationToken stop)
    {
        try
        {
            activations.Collect(Grace);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.CollectionFailed(e.Message);
        }
        return Task.CompletedTask;
    }
}
