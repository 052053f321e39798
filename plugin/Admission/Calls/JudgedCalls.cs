// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Counts the calls that are being judged. Each takes memory while the engine is asked, and about a container
/// that hangs the engine does not answer for as long as the plugin waits: who calls for it ever so often leaves room
/// for calls for others, and by others.</summary>
sealed class JudgedCalls
{
    /// <summary>Calls at the same time: for one container or volume, of one caller, and in all.</summary>
    public const int MaxPerContainer = 50,
        MaxPerCaller = 600,
        MaxCalls = 1000;

    readonly Lock _lock = new();
    readonly Dictionary<(Counted Kind, string Name), int> _counts = [];
    int _all;

    /// <summary>Takes a place.</summary>
    /// <param name="container">As the call names it; empty where it names none.</param>
    /// <param name="caller">The TLS name.</param>
    /// <param name="problem">For the caller, where there is no place.</param>
    /// <returns>To be disposed when the call is judged; null where there is no place.</returns>
    public IDisposable? TryEnter(string container, string caller, out string problem)
    {
        var ofContainer = (Counted.Container, KeyOf(container));
        var ofCaller = (Counted.Caller, caller);
        lock (_lock)
        {
            problem = "";
            if (container.Length > 0 && _counts.GetValueOrDefault(ofContainer) >= MaxPerContainer)
                problem = BusyWith("container", container);
            else if (_counts.GetValueOrDefault(ofCaller) >= MaxPerCaller)
                problem = Busy(MaxPerCaller, "of your calls wait for the engine: try again when it has answered");
            else if (_all >= MaxCalls)
                problem = Busy(MaxCalls, "calls wait for the engine: try again when it has answered");
            if (problem.Length > 0)
                return null;
            Add(ofContainer, 1);
            Add(ofCaller, 1);
            _all++;
        }
        return new Place(() => Leave(ofContainer, ofCaller));
    }

    /// <summary>Takes a place for a look at what a call names in its body, or what an exec is in: that is not known
    /// when the call enters.</summary>
    /// <param name="kind"><see cref="Counted.Reached"/> or <see cref="Counted.Volume"/>.</param>
    /// <param name="name">As the call names it.</param>
    /// <param name="problem">For the caller, where there is no place.</param>
    /// <returns>To be disposed when the engine has answered; null where there is no place.</returns>
    public IDisposable? TryLook(Counted kind, string name, out string problem)
    {
        var key = (kind, KeyOf(name));
        lock (_lock)
        {
            problem = "";
            if (_counts.GetValueOrDefault(key) >= MaxPerContainer)
            {
                problem = BusyWith(kind == Counted.Volume ? "volume" : "container", name);
                return null;
            }
            Add(key, 1);
        }
        return new Place(() =>
        {
            lock (_lock)
                Add(key, -1);
        });
    }

    static string BusyWith(string what, string name) =>
        Busy(
            MaxPerContainer,
            $"calls for {Quoted.Text(name)} wait for the engine: try again when it has answered, and if it does "
                + $"not, look at what holds the {what} (the engine's log)"
        );

    static string Busy(int count, string what) => string.Create(CultureInfo.InvariantCulture, $"{count} {what}");

    /// <summary>The longer parts of an ID are many names of one container. Where containers are called so and the names
    /// begin alike, they share their room. What is shorter counts as a name.</summary>
    static string KeyOf(string name) => ContainerNames.IsLikeId(name) ? name[..ContainerNames.ShortId] : name;

    void Leave((Counted, string) container, (Counted, string) caller)
    {
        lock (_lock)
        {
            Add(container, -1);
            Add(caller, -1);
            _all--;
        }
    }

    void Add((Counted, string) key, int more)
    {
        var count = _counts.GetValueOrDefault(key) + more;
        if (count > 0)
            _counts[key] = count;
        else
            _counts.Remove(key);
    }

    sealed class Place(Action leave) : IDisposable
    {
        int _isLeft;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isLeft, 1) == 0)
                leave();
        }
    }
}
