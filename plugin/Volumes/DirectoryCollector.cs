namespace Runai.GpuMemory.Volumes;

/// <summary>Removes private directories that nobody has any more: soon after an unmount, and now and then what was left otherwise (an engine that was killed, a reboot).</summary>
public sealed class DirectoryCollector(Activations activations, TimeProvider time, ILogger<DirectoryCollector> log) : BackgroundService
{
    static readonly TimeSpan Every = TimeSpan.FromSeconds(30);
    /// <summary>Containers that end together are collected together.</summary>
    static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(200);
    /// <summary>How long a mounted directory may wait for a process that has it: an engine may take its time between mounting and starting.</summary>
    static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                Collect();
                await Task.WhenAny(activations.Idle.WaitToReadAsync(stoppingToken).AsTask(), Task.Delay(Every, time, stoppingToken));
                stoppingToken.ThrowIfCancellationRequested();
                await Task.Delay(Gather, time, stoppingToken);
                activations.Idle.TryRead(out _);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested) { }
    }

    void Collect()
    {
        try
        {
            activations.Collect(Grace);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.CollectionFailed(e.Message);
        }
    }
}
