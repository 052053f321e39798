// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>Finds out whether this plugin is in the engine's authorization chain, which the engine itself does not
/// tell: a ping of the plugin's own comes back to it as a question, or not. <c>docker plugin disable</c> takes a plugin
/// out of the chain and <c>enable</c> does not put it back. What the engine asked a moment ago shows nothing: it may
/// have dropped the plugin since.</summary>
sealed class ChainProbe(IEngineClient engine, SelfCalls own, TimeProvider time)
{
    /// <summary>No caller waits longer after a ping went out. An engine that boots answers when its containers are up,
    /// and they wait for their mounts.</summary>
    static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(1);

    /// <summary>The ping itself stays, and is answered when the API is served. While it is served, everybody waits as
    /// long: an engine that does not answer then is only busy.</summary>
    static readonly TimeSpan MaxPingTime = TimeSpan.FromSeconds(30);

    /// <summary>An engine that has not answered for so long does not boot. Thousands of containers come up in
    /// less.</summary>
    public static TimeSpan MaxBootTime { get; } = TimeSpan.FromMinutes(10);

    /// <summary>The ping under way, and since when the engine is silent, which is away until then or has answered: held
    /// for a look.</summary>
    readonly Lock _lock = new();
    (Task<Asking> Answer, long Since, OwnPing Ping)? _ping;
    long _silentSince = time.GetTimestamp();
    bool _isApiServed;

    /// <summary>Whether the engine serves its API now, as far as a connection shows that stays open while it
    /// does.</summary>
    public bool IsApiServed
    {
        get
        {
            lock (_lock)
                return _isApiServed;
        }
        set
        {
            lock (_lock)
            {
                if (_isApiServed && !value)
                    _silentSince = time.GetTimestamp();
                _isApiServed = value;
            }
        }
    }

    /// <summary>Whether it asks now. One ping for all who want to know at the same time, unless it may have been asked
    /// about before they did: a millisecond.</summary>
    public async Task<Asking> LookAsync(CancellationToken cancel)
    {
        Task<Asking> answer;
        TimeSpan left;
        lock (_lock)
        {
            if (_ping is not { Answer.IsCompleted: false, Ping.IsAsked: false })
            {
                var ping = own.NewPing();
                _ping = (Task.Run(() => AskAsync(ping), CancellationToken.None), time.GetTimestamp(), ping);
            }
            answer = _ping.Value.Answer;
            left = (_isApiServed ? MaxPingTime : PingTimeout) - time.GetElapsedTime(_ping.Value.Since);
        }
        try
        {
            return WithoutBoot(await answer.WaitAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, time, cancel));
        }
        catch (TimeoutException)
        {
            return WithoutBoot(Asking.Silent);
        }
    }

    /// <summary>Silence is a boot where nothing else says that the API is served, and not for ever.</summary>
    Asking WithoutBoot(Asking asking)
    {
        lock (_lock)
        {
            if (asking != Asking.Silent)
                _silentSince = time.GetTimestamp();
            return asking == Asking.Silent && !_isApiServed && time.GetElapsedTime(_silentSince) < MaxBootTime
                ? Asking.Booting
                : asking;
        }
    }

    async Task<Asking> AskAsync(OwnPing ping)
    {
        using (ping)
        {
            var asking = Read(await engine.PingAsync(ping.Target, MaxPingTime, CancellationToken.None), ping);
            return asking == Asking.Denied
                ? Read(await engine.PingAsync(ping.OtherTarget, MaxPingTime, CancellationToken.None), ping)
                : asking;
        }
    }

    /// <summary>The engine itself answers 200, or 404 where the container is not there; everything else comes from
    /// something in between.</summary>
    static Asking Read(int? status, OwnPing ping) =>
        (status, ping) switch
        {
            (_, { IsAsked: true }) => Asking.Yes,
            (200 or 404, _) => Asking.No,
            (null, _) => Asking.Silent,
            (IEngineClient.NoListener, _) => Asking.Absent,
            _ => Asking.Denied,
        };
}
