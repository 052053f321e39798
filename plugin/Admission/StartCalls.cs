using System.Globalization;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission;

/// <summary>Start calls that were allowed, when, and whom they meant. A name, or the beginning of an ID, can come to mean another container between the judgement and the engine's own
/// look; such a container then runs without having been judged, and that can only be told afterwards. One judgement is worth one run, from the call to its answer.</summary>
sealed class StartCalls(TimeProvider time)
{
    /// <summary>So long a call that is over is kept: the engine's word about the run may come late.</summary>
    static readonly TimeSpan Kept = TimeSpan.FromMinutes(5);
    const int Most = 10_000;

    /// <summary>A call, and what it meant when it was judged.</summary>
    /// <param name="uri">As it was asked.</param>
    /// <param name="user">Who called.</param>
    /// <param name="id">The container that was judged; null where there was none of that name.</param>
    /// <param name="isLoose">Whether the engine may find another container by what the call names.</param>
    /// <param name="from">When it was allowed.</param>
    sealed class StartCall(string uri, string user, string? id, bool isLoose, DateTimeOffset from)
    {
        public (string Uri, string User) Key => (uri, user);
        public string User => user;
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
        public bool MayHaveStarted(string container) => isLoose || (IsLapsed && id == container);
    }

    readonly Lock _lock = new();
    readonly List<StartCall> _open = [];
    readonly Queue<StartCall> _over = new();
    /// <summary>Answers to calls of which others like them are still open: which of them it was, nobody says.</summary>
    readonly Dictionary<(string Uri, string User), int> _answers = [];

    /// <summary>Whether there are so many calls without an answer that one more could not be kept in mind. It is not to be allowed then.</summary>
    public bool IsFull
    {
        get
        {
            lock (_lock)
                return _open.Count >= Most && time.GetUtcNow() - _open[0].From <= Kept;
        }
    }

    /// <summary>A start is allowed.</summary>
    /// <param name="apiCall">The call.</param>
    /// <param name="name">The container as it names it.</param>
    /// <param name="id">The container that was judged; null where there was none of that name.</param>
    public void Allowed(AuthZRequest apiCall, string name, string? id)
    {
        lock (_lock)
        {
            if (_open.Count >= Most) // an engine that was restarted answers none, nor does one whose next plugin refused
                _open.RemoveAt(0);
            _open.Add(new(apiCall.RequestUri ?? "", apiCall.User ?? "", id, isLoose: name != id, time.GetUtcNow())); // the engine looks for a whole ID first
        }
    }

    /// <summary>The engine is done with a start, whatever came of it.</summary>
    public void Answered(AuthZRequest apiCall)
    {
        var key = (apiCall.RequestUri ?? "", apiCall.User ?? "");
        lock (_lock)
        {
            var open = _open.FindAll(call => call.Key == key);
            if (open.Count == 0)
                return;
            var answers = _answers.GetValueOrDefault(key) + 1;
            if (answers < open.Count)
            {
                _answers[key] = answers;
                return;
            }
            _answers.Remove(key);
            _open.RemoveAll(call => call.Key == key);
            foreach (var call in open)
            {
                call.To = time.GetUtcNow();
                _over.Enqueue(call);
            }
            Forget();
        }
    }

    /// <summary>Calls for this container that were allowed before this moment and have no answer count no more: if it still comes to run by one, it was not judged.</summary>
    public void Lapse(string id, DateTimeOffset before)
    {
        lock (_lock)
            foreach (var call in _open)
                if (call.Id == id && call.From < before)
                    call.IsLapsed = true;
    }

    /// <summary>Who started a container without its having been judged: the caller of a start that was in flight at that moment and could have come to mean it.
    /// Null where the container was judged itself for this run, or no such call was in flight.</summary>
    /// <param name="id">A running container.</param>
    /// <param name="startedAt">As the engine writes it.</param>
    public string? FindCallerOfUnjudged(string id, string startedAt)
    {
        lock (_lock)
        {
            if (_open.Count + _over.Count == 0 || !DateTimeOffset.TryParse(startedAt, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var moment))
                return null;
            var calls = _over.Concat(_open).Where(call => call.Lasts(moment)).ToArray();
            var judged = Array.FindAll(calls, call => call.Id == id && !call.IsLapsed);
            if ((Array.Find(judged, call => call.Run == startedAt) ?? Array.Find(judged, call => call.Run is null)) is { } own)
            {
                own.Run = startedAt;
                return null;
            }
            return Array.FindLast(calls, call => call.MayHaveStarted(id))?.User;
        }
    }

    /// <summary>What is over is kept for a while, and ever so many calls of one caller as one that lasted from the first to the last: nobody makes room for a trick by calling often.</summary>
    void Forget()
    {
        while (_over.TryPeek(out var first) && time.GetUtcNow() - first.To > Kept)
            _over.Dequeue();
        while (_over.Count > Most)
        {
            var first = _over.Dequeue();
            if (first.IsLoose && _over.Peek() is { IsLoose: true } next && next.User == first.User)
                next.From = first.From;
        }
    }
}
