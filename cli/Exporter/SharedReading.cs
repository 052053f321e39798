// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Exporter;

/// <summary>Reads one at a time: who asks while it reads gets what it reads.</summary>
/// <param name="read">May block, and is bounded in time.</param>
sealed class SharedReading(Func<byte[]> read)
{
    readonly Lock _lock = new();
    Task<byte[]>? _running;

    /// <summary>The reading that runs, or a new one.</summary>
    public Task<byte[]> Read()
    {
        lock (_lock)
        {
            if (_running is null or { IsCompleted: true })
                // A thread of its own: those of the pool answer meanwhile.
                _running = Task.Factory.StartNew(
                    read,
                    CancellationToken.None,
                    TaskCreationOptions.LongRunning,
                    TaskScheduler.Default
                );
            return _running;
        }
    }
}
