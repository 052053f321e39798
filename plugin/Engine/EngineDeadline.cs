// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>How long a caller waits for what he asks the engine.</summary>
sealed class EngineDeadline : IDisposable
{
    /// <summary>Within 5 s the user has an answer, whatever the engine does.</summary>
    static readonly TimeSpan Answer = TimeSpan.FromSeconds(4.5);

    readonly CancellationTokenSource _limit;
    readonly CancellationTokenSource _both;
    readonly CancellationToken _cancel;

    /// <param name="limit">Counts from now.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancel">Ends the wait earlier: the caller is gone.</param>
    public EngineDeadline(TimeSpan limit, TimeProvider time, CancellationToken cancel)
    {
        _cancel = cancel;
        _limit = new(limit, time);
        _both = CancellationTokenSource.CreateLinkedTokenSource(cancel, _limit.Token);
    }

    /// <summary>Of an API call that waits for its decision.</summary>
    public static EngineDeadline OfAnswer(TimeProvider time, CancellationToken cancel) => new(Answer, time, cancel);

    /// <summary>For the questions.</summary>
    public CancellationToken Token => _both.Token;

    /// <summary>Whether the engine failed, or did not answer in time. Not so where the caller is gone and his questions
    /// end by that.</summary>
    public bool IsNoAnswer(Exception e) =>
        e is EngineException or OperationCanceledException && !_cancel.IsCancellationRequested;

    public void Dispose()
    {
        _both.Dispose();
        _limit.Dispose();
    }
}
