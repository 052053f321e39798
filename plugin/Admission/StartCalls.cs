using System.Globalization;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission;

/// <summary>Start calls that were allowed, and when. A name, or the beginning of an ID, can come to mean another container between the judgement and the engine's own look;
/// such a container then runs without having been judged, and that can only be told afterwards.</summary>
sealed class StartCalls(TimeProvider time)
{
    /// <summary>No start takes longer. One that nobody answered counts as lasting so long.</summary>
    static readonly TimeSpan Longest = TimeSpan.FromMinutes(5);
    const int Most = 10_000;

    /// <summary>A call by a name or a part of an ID, and what it meant when it was judged. <see cref="To"/>: its answer; in the future while there is none.</summary>
    sealed class LooseCall(string uri, string user, DateTimeOffset from)
    {
        public string Uri => uri;
        public string User => user;
        public DateTimeOffset From => from;
        public DateTimeOffset To { get; set; } = from + Longest;
        public bool IsOpen { get; set; } = true;
        public bool Lasts(DateTimeOffset moment) => from <= moment && moment <= To;
    }

    readonly Lock _lock = new();
    readonly Queue<(string Id, DateTimeOffset At)> _judged = new();
    readonly Queue<LooseCall> _loose = new();
    /// <summary>Answers to calls of which others like them are still open: which of them it was, nobody says.</summary>
    readonly Dictionary<(string Uri, string User), int> _answers = [];

    /// <summary>A start is allowed.</summary>
    /// <param name="apiCall">The call.</param>
    /// <param name="name">The container as it names it.</param>
    /// <param name="id">The container that was judged; null where there was none of that name.</param>
    public void Allowed(AuthZRequest apiCall, string name, string? id)
    {
        var now = time.GetUtcNow();
        lock (_lock)
        {
            _judged.Enqueue((id ?? "", now));
            while (_judged.Count > Most || now - _judged.Peek().At > Longest)
                _judged.Dequeue();
            if (name == id) // the engine looks for a whole ID first
                return;
            _loose.Enqueue(new(apiCall.RequestUri ?? "", apiCall.User ?? "", now));
            while (_loose.Count > Most || now - _loose.Peek().From > Longest)
                _loose.Dequeue();
        }
    }

    /// <summary>The engine is done with a start, whatever came of it.</summary>
    public void Answered(AuthZRequest apiCall)
    {
        var key = (apiCall.RequestUri ?? "", apiCall.User ?? "");
        lock (_lock)
        {
            var open = _loose.Where(call => call.IsOpen && (call.Uri, call.User) == key).ToArray();
            if (open.Length == 0)
                return;
            var answers = _answers.GetValueOrDefault(key) + 1;
            if (answers < open.Length)
            {
                _answers[key] = answers;
                return;
            }
            _answers.Remove(key);
            var now = time.GetUtcNow();
            foreach (var call in open)
                (call.To, call.IsOpen) = (now, false);
        }
    }

    /// <summary>Who started a container without its having been judged: the caller of a start that was in flight at that moment and could have come to mean it.
    /// Null where the container was judged itself, or no such call was in flight.</summary>
    /// <param name="id">A running container.</param>
    /// <param name="startedAt">As the engine writes it.</param>
    public string? FindCallerOfUnjudged(string id, string startedAt)
    {
        lock (_lock)
        {
            if (_loose.Count == 0 || !DateTimeOffset.TryParse(startedAt, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var moment)
                || _judged.Any(start => start.Id == id && start.At <= moment))
                return null;
            return _loose.LastOrDefault(call => call.Lasts(moment))?.User;
        }
    }
}
