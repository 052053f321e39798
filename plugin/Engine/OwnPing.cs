// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;

namespace Runai.GpuMemory.Engine;

/// <summary>A call that shows by whether the engine asks about it whether it asks at all.</summary>
/// <param name="mark">What it has in its target.</param>
/// <param name="known">Those that are under way, by target.</param>
sealed class OwnPing(string mark, ConcurrentDictionary<string, OwnPing> known) : IDisposable
{
    volatile bool _isAsked;

    /// <summary>Path and query, by which the engine's question about it is known.</summary>
    public string Target { get; } = $"/_ping?{mark}";

    /// <summary>Looks for a container that is not there: where another plugin allows no ping, it still has to allow
    /// this, without which this plugin can judge nothing.</summary>
    public string OtherTarget { get; } = $"/containers/{mark}/json";

    /// <summary>Whether the engine has asked about it. Set by the thread that gets the question.</summary>
    public bool IsAsked
    {
        get => _isAsked;
        set => _isAsked = value;
    }

    public void Dispose()
    {
        known.TryRemove(Target, out _);
        known.TryRemove(OtherTarget, out _);
    }
}
