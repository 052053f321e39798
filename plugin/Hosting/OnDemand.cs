// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Hosting;

/// <summary>A measurement that is taken only on request: all who ask while it is young share it, and never two
/// are taken at a time.</summary>
/// <param name="maxAge">How long one is young.</param>
/// <param name="maxWait">No asker waits longer for it, from its beginning on.</param>
/// <param name="time">The clock.</param>
sealed class OnDemand<T>(TimeSpan maxAge, TimeSpan maxWait, TimeProvider time)
    where T : class
{
    readonly Lock _lock = new();
    volatile T? _last;
    long _lastAt;
    (Task Work, long Since)? _measuring;

    /// <summary>The last one; null before there is one. Waits for nothing.</summary>
    public T? Last => _last;

    /// <summary>The last one, where it is young.</summary>
    public T? Recent
    {
        get
        {
            lock (_lock)
                return _last is not null && time.GetElapsedTime(_lastAt) < maxAge ? _last : null;
        }
    }

    /// <summary>One that is young; where it is not there in time, the last one there is.</summary>
    /// <param name="start">Begins to take one, and does not wait. Never throws: null where it came to nothing.</param>
    /// <param name="cancel">Ends the wait.</param>
    public async Task<T?> MeasureAsync(Func<Task<T?>> start, CancellationToken cancel)
    {
        if (Recent is { } recent)
            return recent;
        var (work, left) = Join(start);
        try
        {
            await work.WaitAsync(left, time, cancel);
        }
        catch (TimeoutException)
        {
            // The asker gets an older one.
        }
        return _last;
    }

    /// <summary>The measurement that is under way, or a new one.</summary>
    (Task Work, TimeSpan Left) Join(Func<Task<T?>> start)
    {
        lock (_lock)
        {
            if (_measuring is not { Work.IsCompleted: false })
                _measuring = (RunAsync(start, time.GetTimestamp()), time.GetTimestamp());
            var (work, since) = _measuring.Value;
            var left = maxWait - time.GetElapsedTime(since);
            return (work, left > TimeSpan.Zero ? left : TimeSpan.Zero);
        }
    }

    async Task RunAsync(Func<Task<T?>> start, long at)
    {
        var measured = await start();
        if (measured is null)
            return;
        lock (_lock)
        {
            _last = measured;
            _lastAt = at;
        }
    }
}
