// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;

namespace Runai.GpuMemory.Admission;

/// <summary>What decisions are counted by.</summary>
/// <param name="IsAllowed">Or denied.</param>
/// <param name="Rule">The first that decided. Of an allowed call: <c>quota</c>, <c>gpu-without-quota</c>,
/// <c>quota-without-gpu</c>, or the rule that a policy in audit mode would refuse it by.</param>
readonly record struct DecisionKind(bool IsAllowed, string Rule);

/// <summary>How often which rule decided since this process began.</summary>
sealed class DecisionCounts
{
    /// <summary>More than there are rules.</summary>
    const int MaxEntries = 500;

    readonly ConcurrentDictionary<DecisionKind, long> _counts = [];

    /// <summary>Counts a decision, unless there are too many kinds already.</summary>
    public void Add(DecisionKind decision)
    {
        if (_counts.Count < MaxEntries || _counts.ContainsKey(decision))
            _counts.AddOrUpdate(decision, 1, (_, count) => count + 1);
    }

    /// <summary>Ordered by rule.</summary>
    public IReadOnlyList<(DecisionKind Decision, long Count)> All() =>
        [.. _counts.OrderBy(one => one.Key.Rule, StringComparer.Ordinal).Select(one => (one.Key, one.Value))];
}
