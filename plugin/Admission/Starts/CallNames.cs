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

/// <summary>One name of one call.</summary>
/// <param name="call">The call.</param>
/// <param name="name">Without the slash before it.</param>
/// <param name="isMove">Whether the call gives it to a container.</param>
sealed class NameHold(CallNames call, string name, bool isMove)
{
    /// <summary>The call that holds the name, or waits for it.</summary>
    public CallNames Call => call;

    /// <summary>As <see cref="Policies.ContainerNames.Shortened"/> makes it.</summary>
    public string Name => name;

    /// <summary>Calls that reach a name wait for calls that move it, and the other way round. Calls of one kind do not
    /// wait for each other.</summary>
    public bool IsMove => isMove;

    /// <summary>When the call was allowed; null while it is judged.</summary>
    public long? Since { get; set; }

    /// <summary>It waits for nobody any more.</summary>
    public TaskCompletionSource Turn { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
