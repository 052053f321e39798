// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Starts;

/// <summary>The names that one call holds in <see cref="NamesInMotion"/>. To be disposed when it is judged; a call that
/// was allowed holds them until its answer.</summary>
sealed class CallNames(NamesInMotion names, AuthZRequest call) : IDisposable
{
    /// <summary>Until it is allowed: it may be long.</summary>
    AuthZRequest? _call = call;
    bool _isAllowed;

    /// <summary>The TLS name; empty on the unix socket.</summary>
    public string Caller { get; } = call.User ?? "";

    /// <summary>Calls of one key are alike.</summary>
    internal (string, int) Key { get; } = NamesInMotion.KeyOf(call);

    /// <summary>Guarded by the lock of <see cref="NamesInMotion"/>.</summary>
    internal List<NameHold> Holds { get; } = [];

    /// <summary>The call reaches a container by this name.</summary>
    /// <returns>Null, or why it cannot now, for the caller.</returns>
    public ValueTask<string?> ReachAsync(string name, CancellationToken cancel) =>
        names.EnterAsync(this, name, isMove: false, cancel);

    /// <summary>The call gives a container this name.</summary>
    /// <returns>Null, or why it cannot now, for the caller.</returns>
    public ValueTask<string?> MoveAsync(string name, CancellationToken cancel) =>
        names.EnterAsync(this, name, isMove: true, cancel);

    /// <summary>Whether the call may wait for others. One with a long body may not: it would keep others' calls from
    /// being read.</summary>
    internal bool MayWait() => _call?.TryKeepBody() != false;

    /// <summary>Keeps the names until the engine answers the call.</summary>
    public void Allowed()
    {
        _call = null;
        _isAllowed = true;
        names.Allowed(this);
    }

    public void Dispose()
    {
        if (!_isAllowed)
            names.Leave(this);
    }
}
