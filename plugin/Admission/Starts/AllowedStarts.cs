// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;

namespace Runai.GpuMemory.Admission.Starts;

/// <summary>Starts that were allowed just now: what these containers may have is known before the engine says that they
/// run.</summary>
sealed class AllowedStarts(TimeProvider time)
{
    /// <summary>Between the decision and the first program; later, the engine has said it.</summary>
    static readonly TimeSpan Retention = TimeSpan.FromMinutes(1);

    readonly ConcurrentDictionary<string, (AllowedStart Start, long At)> _starts = new(StringComparer.Ordinal);

    /// <summary>Replaces an earlier start of the same container.</summary>
    public void Note(AllowedStart start)
    {
        foreach (var (id, other) in _starts)
            if (time.GetElapsedTime(other.At) > Retention)
                _starts.TryRemove(id, out _);
        _starts[start.Id] = (start, time.GetTimestamp());
    }

    /// <summary>By the whole ID; null a minute after the decision.</summary>
    public AllowedStart? Find(string id) =>
        _starts.TryGetValue(id, out var noted) && time.GetElapsedTime(noted.At) <= Retention ? noted.Start : null;
}
