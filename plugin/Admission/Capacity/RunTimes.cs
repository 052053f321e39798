// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.Admission.Capacity;

/// <summary>When containers began to run, by the engine's events, so that of one that its restart policy has started
/// since, the run that a call began is known.</summary>
sealed class RunTimes
{
    /// <summary>Runs of one container, and containers.</summary>
    public const int MaxRuns = 16,
        MaxEntries = 4096;

    sealed class Runs
    {
        /// <summary>By the events: shortly after the run began.</summary>
        public List<DateTimeOffset> Events { get; } = [];

        /// <summary>Runs that a call began, as the engine writes it.</summary>
        public List<string> Begun { get; } = [];
    }

    readonly Lock _lock = new();
    readonly Dictionary<string, Runs> _runs = new(StringComparer.Ordinal);
    readonly Queue<string> _order = [];

    /// <summary>The engine said that it started it.</summary>
    public void Note(string id, DateTimeOffset at)
    {
        lock (_lock)
        {
            var events = Of(id).Events;
            events.Add(at);
            events.Sort();
            if (events.Count > MaxRuns)
                events.RemoveAt(0);
        }
    }

    /// <summary>When the run began that a call was for, and none of the restart policy's.</summary>
    /// <param name="id">A running container.</param>
    /// <param name="startedAt">When its run of now began, as the engine writes it.</param>
    /// <param name="restarts">How often its restart policy has started it since that call.</param>
    /// <returns>In the engine's form, the same for each look at the same run; null where it is not known.</returns>
    public string? FindCalled(string id, string startedAt, int restarts)
    {
        if (
            !DateTimeOffset.TryParse(
                startedAt,
                CultureInfo.InvariantCulture,
                DateTimeStyles.AssumeUniversal,
                out var now
            )
        )
            return null;
        lock (_lock)
        {
            if (restarts == 0)
            {
                var begun = Of(id).Begun;
                if (!begun.Contains(startedAt))
                    begun.Add(startedAt);
                if (begun.Count > MaxRuns)
                    begun.RemoveAt(0);
                return startedAt;
            }
            if (
                !_runs.TryGetValue(id, out var runs)
                || runs.Events.FindAll(at => at < now) is not { } before
                || before.Count < restarts
            )
                return null;
            var from = before.Count > restarts ? before[^(restarts + 1)] : DateTimeOffset.MinValue;
            var to = before[^restarts];
            return runs.Begun.Find(begun =>
                    DateTimeOffset.Parse(begun, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal) is var at
                    && from < at
                    && at <= to
                ) ?? to.ToString("O", CultureInfo.InvariantCulture);
        }
    }

    Runs Of(string id)
    {
        if (_runs.TryGetValue(id, out var runs))
            return runs;
        _order.Enqueue(id);
        if (_order.Count > MaxEntries)
            _runs.Remove(_order.Dequeue());
        return _runs[id] = new();
    }
}
