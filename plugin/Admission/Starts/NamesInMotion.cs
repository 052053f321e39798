// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Starts;

/// <summary>Names of containers between the judgement of a call and the engine's own look at them. Calls that reach a
/// container by a name, and calls that give this name to one, wait for each other, in the order in which they come:
/// what a name meant when it was judged it means when the engine looks.</summary>
sealed class NamesInMotion(TimeProvider time)
{
    /// <summary>So long an allowed call without an answer holds a name: the engine looks at the beginning of its work;
    /// a create may take its time.</summary>
    public static readonly TimeSpan ReachLasts = TimeSpan.FromSeconds(2),
        MoveLasts = TimeSpan.FromSeconds(10);

    /// <summary>Names that the calls of one caller, and of all, hold or wait for.</summary>
    public const int MaxPerCaller = 1000,
        MaxEntries = 4000;

    readonly Lock _lock = new();

    /// <summary>In the order in which they came. Those at the beginning that are of one kind hold the name; the others
    /// wait.</summary>
    readonly Dictionary<string, List<NameHold>> _byName = new(StringComparer.Ordinal);
    readonly Dictionary<(string, int), List<CallNames>> _allowed = [];
    readonly Dictionary<string, int> _ofCaller = new(StringComparer.Ordinal);
    int _all;

    /// <summary>So long a call waits for those before it.</summary>
    public TimeSpan WaitTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Begins a call. It holds no name yet.</summary>
    public CallNames Of(AuthZRequest call) => new(this, call);

    /// <summary>Caller, method and URI: what the engine repeats when it says that it is done.</summary>
    internal static (string, int) KeyOf(AuthZRequest call) =>
        (call.User ?? "", HashCode.Combine(call.RequestMethod, call.RequestUri));

    /// <summary>Waits for the name. Returns null, or a message for the caller if the wait takes too long.</summary>
    internal async ValueTask<string?> EnterAsync(CallNames call, string name, bool isMove, CancellationToken cancel)
    {
        var plain = name.TrimStart('/');
        var hold = new NameHold(call, ContainerNames.Shortened(name), isMove);
        if (Add(hold) is { } full)
            return full;
        for (var began = time.GetTimestamp(); FindPause(hold) is { } pause; )
        {
            var left = WaitTimeout - time.GetElapsedTime(began);
            if (left <= TimeSpan.Zero || !hold.Call.MayWait())
                return isMove
                    ? $"the name {Quoted.Text(plain)} is used by calls that the engine has not finished: try again"
                    : $"{Quoted.Text(plain)} is being created or renamed: try again";
            await Task.WhenAny(hold.Turn.Task, Task.Delay(pause < left ? pause : left, time, cancel));
            cancel.ThrowIfCancellationRequested();
        }
        return null;
    }

    string? Add(NameHold hold)
    {
        var caller = hold.Call.Caller;
        lock (_lock)
        {
            if (_all >= MaxEntries || _ofCaller.GetValueOrDefault(caller) >= MaxPerCaller)
                foreach (var name in _byName.Keys.ToArray())
                    Purge(name);
            if (_all >= MaxEntries || _ofCaller.GetValueOrDefault(caller) >= MaxPerCaller)
                return "too many calls by names of containers are under way that the engine has not finished: try "
                    + "again, or write whole IDs";
            if (!_byName.TryGetValue(hold.Name, out var holds))
                _byName[hold.Name] = holds = [];
            holds.Add(hold);
            hold.Call.Holds.Add(hold);
            _ofCaller[caller] = _ofCaller.GetValueOrDefault(caller) + 1;
            _all++;
            return null;
        }
    }

    /// <summary>Null where it waits for no other; else when to look again at the latest.</summary>
    TimeSpan? FindPause(NameHold hold)
    {
        lock (_lock)
        {
            Purge(hold.Name);
            var before = _byName[hold.Name]
                .TakeWhile(other => other != hold)
                .Where(other => other.IsMove != hold.IsMove)
                .ToArray();
            return before.Length == 0 ? null : before.Min(LeftOf);
        }
    }

    /// <summary>One that is judged yet ends by its judgement.</summary>
    TimeSpan LeftOf(NameHold hold)
    {
        if (hold.Since is not { } since)
            return TimeSpan.MaxValue;
        return (hold.IsMove ? MoveLasts : ReachLasts) - time.GetElapsedTime(since);
    }

    void Purge(string name)
    {
        foreach (var over in _byName[name].Where(hold => LeftOf(hold) <= TimeSpan.Zero).ToArray())
            Remove(over);
    }

    void Remove(NameHold hold)
    {
        var holds = _byName[hold.Name];
        var call = hold.Call;
        holds.Remove(hold);
        call.Holds.Remove(hold);
        foreach (var next in holds.TakeWhile(next => next.IsMove == holds[0].IsMove))
            next.Turn.TrySetResult();
        if (holds.Count == 0)
            _byName.Remove(hold.Name);
        if (--_ofCaller[call.Caller] == 0)
            _ofCaller.Remove(call.Caller);
        _all--;
        if (
            call.Holds.Count == 0
            && _allowed.TryGetValue(call.Key, out var alike)
            && alike.Remove(call)
            && alike.Count == 0
        )
            _allowed.Remove(call.Key);
    }

    /// <summary>Releases all names of a call.</summary>
    internal void Leave(CallNames call)
    {
        lock (_lock)
            foreach (var hold in call.Holds.ToArray())
                Remove(hold);
    }

    /// <summary>Keeps the names until the answer, and for <see cref="ReachLasts"/> or <see cref="MoveLasts"/> at
    /// most.</summary>
    internal void Allowed(CallNames call)
    {
        lock (_lock)
        {
            if (call.Holds.Count == 0)
                return;
            call.Holds.ForEach(hold => hold.Since = time.GetTimestamp());
            if (!_allowed.TryGetValue(call.Key, out var alike))
                _allowed[call.Key] = alike = [];
            alike.Add(call);
        }
    }

    /// <summary>The engine is done with a call. Of calls that look alike the first that was allowed counts: the others
    /// hold the names for longer.</summary>
    public void Answered(AuthZRequest call)
    {
        lock (_lock)
            if (_allowed.TryGetValue(KeyOf(call), out var alike))
                Leave(alike[0]);
    }
}
