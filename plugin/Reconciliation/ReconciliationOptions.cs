// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Reconciliation;

/// <summary>Times of the reconciliation.</summary>
sealed record ReconciliationOptions
{
    /// <summary>How often all running containers are compared with what events have told.</summary>
    public TimeSpan SweepEvery { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Pauses before a lost engine is tried again; the last one repeats.</summary>
    public IReadOnlyList<TimeSpan> Reconnect { get; init; } = Milliseconds(20, 50, 100, 200, 500, 1000, 2000);

    /// <summary>Pauses before a container that could not be done is tried again; then the next sweep does.</summary>
    public IReadOnlyList<TimeSpan> Retry { get; init; } = Milliseconds(50, 250, 1000);

    /// <summary>How long a container has run when its first programs have loaded what they load.</summary>
    public TimeSpan LookAfter { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>Containers worked on at the same time.</summary>
    public int Workers { get; init; } = 8;

    static TimeSpan[] Milliseconds(params ReadOnlySpan<int> values)
    {
        var pauses = new TimeSpan[values.Length];
        for (var i = 0; i < pauses.Length; i++)
            pauses[i] = TimeSpan.FromMilliseconds(values[i]);
        return pauses;
    }
}
