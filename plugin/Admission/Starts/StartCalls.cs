// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Starts;

/// <summary>Start calls that were allowed, when, and whom they meant. A name, or the beginning of an ID, can come to
/// mean another container between the judgement and the engine's own look; such a container then runs without having
/// been judged, and that can only be told afterwards. One judgement is worth one run, from the call to its
/// answer.</summary>
sealed class StartCalls(TimeProvider time)
{
    /// <summary>So long a call that is over is kept: the engine's word about the run may come late. One without an
    /// answer keeps its place for so long when others want it.</summary>
    static readonly TimeSpan Kept = TimeSpan.FromMinutes(5);

    /// <summary>Calls without an answer: of one container as it is named, of one caller, and of all. One that hangs
    /// takes no other's place.</summary>
    public const int MaxPerName = 64,
        MaxPerUser = 5_000,
        MaxEntries = 10_000;

    /// <summary>A call, and what it meant when it was judged.</summary>
    /// <param name="key">The container as the call names it, and who called: calls of one key are alike.</param>
    /// <param name="id">The container that was judged; null where there was none of that name.</param>
    /// <param name="isLoose">Whether the engine may find another container by what the call names.</param>
    /// <param name="from">When it was allowed.</param>
    sealed class StartCall((string Name, string User) key, string? id, bool isLoose, DateTimeOffset from)
    {
        public (string Name, string User) Key => key;
        public string User => key.User;
        public string? Id => id;
        public bool IsLoose => isLoose;
        public DateTimeOffset From { get; set; } = from;

        /// <summary>Its answer; none of it while it is open, however long that takes.</summary>
        public DateTimeOffset To { get; set; } = DateTimeOffset.MaxValue;

        /// <summary>The judgement counts no more: what it held of a GPU was given away.</summary>
        public bool IsLapsed { get; set; }

        /// <summary>When the run began that the judgement was for; null before one is seen.</summary>
        public string? Run { get; set; }

        public bool Lasts(DateTimeOffset moment) => From <= moment && moment <= To;

        public bool MayHaveStarted(string container, string? name) =>
            (isLoose && (name is null || key.Name == name || container.StartsWith(key.Name, StringComparison.Ordinal)))
            || (IsLapsed && id == container);
    }

    readonly Lock _lock = new();
    readonly List<StartCall> _open = [];
    readonly List<StartCall> _over = [];

    /// <summary>Null, or why one more call could not be kept in mind, for its caller. It is not to be allowed
    /// then.</summary>
    public string? FindProblem(AuthZRequest apiCall, string name)
    {
        var key = KeyOf(apiCall, name);
        lock (_lock)
        {
            if (!HasRoom(call => call.Key.Name == key.Name, MaxPerName))
                return $"{MaxPerName} starts of the container {Quoted.Text(name)} are under way, and the engine "
                    + "has finished none of them: wait until it does, or look at what hangs there (docker "
                    + "inspect, the engine's log)";
            if (!HasRoom(call => call.User == key.User, MaxPerUser))
                return $"{MaxPerUser} starts of yours are under way that the engine has not finished: wait until it "
                    + "does";
            return HasRoom(_ => true, MaxEntries)
                ? null
                : $"{MaxEntries} starts are under way that the engine has not finished: wait until it does";
        }
    }

    /// <summary>Whether one more fits, once what has waited for too long makes room: an engine that was restarted
    /// answers none, nor does one whose next plugin refused.</summary>
    bool HasRoom(Predicate<StartCall> isOne, int max) =>
        _open.Count < max
        || _open.Count(call => isOne(call)) < max
        || time.GetUtcNow() - _open.Find(isOne)!.From > Kept;

    /// <summary>A start is allowed.</summary>
    /// <param name="apiCall">The call.</param>
    /// <param name="name">The container as it names it.</param>
    /// <param name="id">The container that was judged; null where there was none of that name.</param>
    public void Allowed(AuthZRequest apiCall, string name, string? id)
    {
        var key = KeyOf(apiCall, name);
        lock (_lock)
        {
            MakeRoom(call => call.Key.Name == key.Name, MaxPerName);
            MakeRoom(call => call.User == key.User, MaxPerUser);
            MakeRoom(_ => true, MaxEntries);
            _open.Add(new(key, id, isLoose: name != id, time.GetUtcNow())); // the engine looks for a whole ID first
        }
    }

    void MakeRoom(Predicate<StartCall> isOne, int max)
    {
        if (_open.Count >= max && _open.Count(call => isOne(call)) >= max)
            Close(_open.FindIndex(isOne));
    }

    /// <summary>The engine is done with a start, whatever came of it. Of calls that look alike it is unknown which: one
    /// that has had its run, else the last. Those that stay open began before it and say as much about what
    /// comes.</summary>
    /// <returns>The container that was judged; null where there was none, or the call is not known.</returns>
    public string? Answered(AuthZRequest apiCall, string name)
    {
        var key = KeyOf(apiCall, name);
        lock (_lock)
        {
            var one = _open.FindLastIndex(call => call.Key == key && call.Run is not null);
            if (one < 0)
                one = _open.FindLastIndex(call => call.Key == key && !call.IsLapsed);
            if (one < 0)
                one = _open.FindLastIndex(call => call.Key == key);
            return one >= 0 ? Close(one).Id : null;
        }
    }

    StartCall Close(int index)
    {
        var call = _open[index];
        _open.RemoveAt(index);
        call.To = time.GetUtcNow();
        _over.Add(call);
        Forget();
        return call;
    }

    static (string Name, string User) KeyOf(AuthZRequest apiCall, string name) =>
        (ContainerNames.Shortened(name), apiCall.User ?? "");

    /// <summary>Calls for this container that were allowed before this moment and have no answer count no more: if it
    /// still comes to run by one, it was not judged.</summary>
    public void Lapse(string id, DateTimeOffset before)
    {
        lock (_lock)
            foreach (var call in _open)
                if (call.Id == id && call.From < before)
                    call.IsLapsed = true;
    }

    /// <summary>Who started a container without its having been judged: the caller of a start that was in flight at
    /// that moment and could have come to mean it.
    /// Null where the container was judged itself for this run, or no such call was in flight.</summary>
    /// <param name="id">A running container.</param>
    /// <param name="startedAt">As the engine writes it.</param>
    /// <param name="name">Its name, without the slash: a call by another, or by no part of its ID, did not mean it.
    /// Null where it is not known.</param>
    public string? FindCallerOfUnjudged(string id, string startedAt, string? name = null)
    {
        lock (_lock)
        {
            if (
                _open.Count + _over.Count == 0
                || !DateTimeOffset.TryParse(
                    startedAt,
                    CultureInfo.InvariantCulture,
                    DateTimeStyles.AssumeUniversal,
                    out var moment
                )
            )
                return null;
            var calls = _over.Concat(_open).Where(call => call.Lasts(moment)).ToArray();
            var judged = Array.FindAll(calls, call => call.Id == id && !call.IsLapsed);
            if (
                (Array.Find(judged, call => call.Run == startedAt) ?? Array.Find(judged, call => call.Run is null)) is
                { } own
            )
            {
                own.Run = startedAt;
                return null;
            }
            return Array
                .FindLast(calls, call => call.MayHaveStarted(id, name is null ? null : ContainerNames.Shortened(name)))
                ?.User;
        }
    }

    /// <summary>What is over is kept for a while. Who calls ever so often makes room among his own calls, and those
    /// count as one that lasted from the first to the last: calling often makes no room for a trick.</summary>
    void Forget()
    {
        var kept = _over.FindIndex(call => time.GetUtcNow() - call.To <= Kept);
        _over.RemoveRange(0, kept < 0 ? _over.Count : kept);
        if (_over.Count <= MaxEntries)
            return;
        var user = _over.CountBy(call => call.User).MaxBy(count => count.Value).Key;
        var index = _over.FindIndex(call => call.User == user);
        var first = _over[index];
        _over.RemoveAt(index);
        if (first.IsLoose && (_over.Find(IsNext) ?? _open.Find(IsNext)) is { } next && next.From > first.From)
            next.From = first.From;

        bool IsNext(StartCall call) => call.IsLoose && call.User == user;
    }
}
