// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Volumes;

/// <summary>Lets nothing be mounted while the engine does not ask this plugin about API calls, and says so in the log:
/// when that begins, and every ten minutes while it lasts. Looks when a mount comes, when the plugin starts, and every
/// 30 s.</summary>
sealed partial class ChainGuard(
    ChainProbe probe,
    PluginIdentity identity,
    PluginSettings settings,
    IEngineClient engine,
    TimeProvider time,
    ILogger<ChainGuard> log
) : BackgroundService, IMountGuard, IChainState
{
    static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(200),
        SlowInterval = TimeSpan.FromSeconds(30),
        SayAgain = TimeSpan.FromMinutes(10);

    readonly SemaphoreSlim _look = new(0, 1);

    /// <summary>What was found last, and when it was said: held to decide what is to be said.</summary>
    readonly Lock _lock = new();
    Asking _asking;
    long _saidAt;
    volatile string? _problem;

    /// <summary>How long a look for the status may take.</summary>
    static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(1);

    public bool? IsAsked
    {
        get
        {
            lock (_lock)
                return IsYes(_asking);
        }
    }

    public string? LastProblem => _problem;

    public async Task<bool?> FindOutAsync(CancellationToken cancel)
    {
        try
        {
            return await FindAsync().WaitAsync(MaxWait, time, cancel);
        }
        catch (TimeoutException)
        {
            return IsAsked;
        }

        async Task<bool?> FindAsync()
        {
            var asking = await LookAsync(cancel);
            _problem = await ProblemAsync(asking, cancel);
            return IsYes(asking);
        }
    }

    static bool? IsYes(Asking asking) =>
        asking switch
        {
            Asking.Yes => true,
            Asking.Booting or Asking.Silent => null,
            _ => false,
        };

    public async Task<string?> RefusalAsync(CancellationToken cancel)
    {
        var asking = await LookAsync(cancel);
        if (asking is Asking.Booting or Asking.Silent)
            LookSoon();
        var problem = _problem = await ProblemAsync(asking, cancel);
        if (IsNews(asking))
            Say(problem);
        return problem;
    }

    /// <summary>An engine that mounts has its socket, also while it boots: without one the plugin looks in the wrong
    /// place.</summary>
    async Task<Asking> LookAsync(CancellationToken cancel)
    {
        var asking = await probe.LookAsync(cancel);
        return asking == Asking.Booting && !File.Exists(settings.EngineSocket) ? Asking.Absent : asking;
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var asking = Asking.Booting;
        return Loop.RunAsync(
            log,
            stoppingToken,
            SayAsync,
            cancel => _look.WaitAsync(asking is Asking.Booting or Asking.Absent ? Soon : SlowInterval, cancel)
        );

        async Task SayAsync(CancellationToken cancel)
        {
            asking = await probe.LookAsync(cancel);
            // While nothing is mounted, an engine that is away is nothing to tell.
            if (asking is Asking.Yes)
                _problem = null;
            if (asking is not Asking.Absent && IsNews(asking))
                Say(_problem = await ProblemAsync(asking, cancel));
        }
    }

    public override void Dispose()
    {
        _look.Dispose();
        base.Dispose();
    }

    void LookSoon()
    {
        lock (_lock)
            if (_look.CurrentCount == 0)
                _look.Release();
    }

    bool IsNews(Asking asking)
    {
        lock (_lock)
        {
            if (
                asking == Asking.Booting
                || (asking == _asking && (asking == Asking.Yes || time.GetElapsedTime(_saidAt) < SayAgain))
            )
                return false;
            _asking = asking;
            _saidAt = time.GetTimestamp();
            return true;
        }
    }

    void Say(string? problem)
    {
        if (problem is null)
            LogAsked(log);
        else
            LogNotAsked(log, problem);
    }

    async Task<string?> ProblemAsync(Asking asking, CancellationToken cancel) =>
        asking switch
        {
            Asking.No => await NotAskedAsync(cancel),
            Asking.Absent =>
                $"the plugin finds no engine at {settings.EngineSocket}, so no limit would hold: look at its "
                    + "settings run.source and DOCKER_HOST (docker plugin inspect)",
            Asking.Silent => $"the engine at {settings.EngineSocket} does not tell the plugin whether it asks about "
                + "containers, so no limit would hold: try again, and if it lasts, look at the plugin's settings "
                + "run.source and DOCKER_HOST (docker plugin inspect)",
            Asking.Denied => "another authorization plugin refuses, or fails at, this plugin's calls to the engine, so "
                + "it is unknown whether the engine asks about containers, and no limit would hold. As root, name "
                + "this plugin first in authorization-plugins of /etc/docker/daemon.json, or let the other one allow "
                + "GET /_ping "
                + "and GET /containers/NAME/json, then let the engine read it: systemctl reload docker, or "
                + "kill -HUP $(cat /run/docker.pid)",
            _ => null,
        };

    /// <summary>The name must be right: an engine that reads a wrong one ends.</summary>
    async Task<string> NotAskedAsync(CancellationToken cancel)
    {
        var name = await NameAsync(cancel);
        return $"the engine does not ask the plugin {name ?? "for GPU memory"} about containers, so no limit would "
            + "hold. As root, see that /etc/docker/daemon.json has "
            + "\"authorization-plugins\": "
            + $"[\"{name ?? "NAME"}\"]{(name is null ? " with the name that docker plugin ls shows" : "")}, then "
            + "let the engine read it: systemctl reload docker, or kill -HUP $(cat /run/docker.pid)";
    }

    async Task<string?> NameAsync(CancellationToken cancel)
    {
        const string Default = ":latest";
        try
        {
            var name = identity.Name ?? (identity.Id is { } id ? await engine.PluginNameAsync(id, cancel) : null);
            return name?.EndsWith(Default, StringComparison.Ordinal) == true ? name[..^Default.Length] : name;
        }
        catch (EngineException)
        {
            return null;
        }
    }

    [LoggerMessage(
        220,
        LogLevel.Error,
        "not asked: API calls are not checked, and no container with a volume of this plugin starts or "
            + "restarts: {Problem}"
    )]
    static partial void LogNotAsked(ILogger logger, string problem);

    [LoggerMessage(221, LogLevel.Information, "the engine asks this plugin about API calls")]
    static partial void LogAsked(ILogger logger);
}
