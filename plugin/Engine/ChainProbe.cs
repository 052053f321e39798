namespace Runai.GpuMemory.Engine;

/// <summary>Whether the engine asks this plugin about API calls.</summary>
public enum Asking
{
    /// <summary>The engine does not say: its API is not served yet, it is busy, or another plugin refused the question.</summary>
    Unknown,
    Yes,
    No,
}

/// <summary>Finds out whether this plugin is in the engine's authorization chain, which the engine itself tells nobody: a ping of the plugin's own comes back to it as a question, or not.
/// <c>docker plugin disable</c> takes a plugin out of the chain and <c>enable</c> does not put it back.</summary>
public sealed class ChainProbe(IEngineClient engine, OwnCalls own, TimeProvider time)
{
    /// <summary>Nobody waits longer after a ping went out. An engine that boots answers when its containers are up, and they wait for their mounts.</summary>
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>The same while the API is served: an engine that does not answer then is only busy.</summary>
    static readonly TimeSpan PatienceWhileServed = TimeSpan.FromSeconds(10);

    /// <summary>The ping itself stays, and is answered when the API is served.</summary>
    static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    /// <summary>For so long what the engine asked shows that it asks.</summary>
    static readonly TimeSpan Recent = TimeSpan.FromSeconds(1);

    /// <summary>The ping and the calls under way: held for a look.</summary>
    readonly Lock _lock = new();
    readonly Queue<long> _calls = new();
    (Task<Asking> Answer, long Since)? _ping;
    volatile bool _isApiServed;

    /// <summary>Whether the engine serves its API now, as far as a connection shows that stays open while it does.</summary>
    public bool IsApiServed { get => _isApiServed; set => _isApiServed = value; }

    /// <summary>The engine asked about a call that mounts volumes, and was told to do it.</summary>
    public void CallBegan()
    {
        lock (_lock)
        {
            ForgetOld();
            _calls.Enqueue(time.GetTimestamp());
        }
    }

    /// <summary>Such a call is done. Which one does not matter: none counts for longer than a second.</summary>
    public void CallEnded()
    {
        lock (_lock) _calls.TryDequeue(out _);
    }

    /// <summary>Whether it asks now. Costs nothing while a call is under way about which it asked, else one ping for all who want to know at the same time.</summary>
    public async Task<Asking> LookAsync(CancellationToken cancel)
    {
        Task<Asking> answer;
        TimeSpan left;
        lock (_lock)
        {
            ForgetOld();
            if (_calls.Count > 0) return Asking.Yes;
            if (_ping is not { Answer.IsCompleted: false }) _ping = (Task.Run(PingAsync, CancellationToken.None), time.GetTimestamp());
            (answer, left) = (_ping.Value.Answer, (IsApiServed ? PatienceWhileServed : Patience) - time.GetElapsedTime(_ping.Value.Since));
        }
        try
        {
            return await answer.WaitAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, time, cancel);
        }
        catch (TimeoutException)
        {
            return Asking.Unknown;
        }
    }

    async Task<Asking> PingAsync()
    {
        var before = own.PingsSeen;
        var status = await engine.PingAsync(own.Ping, Longest, CancellationToken.None);
        return own.PingsSeen != before ? Asking.Yes : status == 200 ? Asking.No : Asking.Unknown;
    }

    void ForgetOld()
    {
        while (_calls.TryPeek(out var began) && time.GetElapsedTime(began) > Recent) _calls.Dequeue();
    }
}
