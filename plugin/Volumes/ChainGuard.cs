using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Volumes;

/// <summary>Keeps containers with a volume of ours from starting where nothing would enforce their limit.</summary>
public interface IMountGuard
{
    /// <summary>Null, or why nothing is mounted now, for the user's terminal. In doubt null: a failed mount is final for a container that comes back by its restart policy.</summary>
    Task<string?> RefusalAsync(CancellationToken cancel);
}

/// <summary>Lets nothing be mounted while the engine does not ask this plugin about API calls, and says so in the log: when that begins, and every ten minutes while it lasts. Looks when a mount
/// comes, when the plugin starts, and every 30 s.</summary>
public sealed class ChainGuard(ChainProbe probe, PluginIdentity identity, PluginSettings settings, IEngineClient engine, TimeProvider time, ILogger<ChainGuard> log) : BackgroundService, IMountGuard
{
    static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(200), Seldom = TimeSpan.FromSeconds(30), SayAgain = TimeSpan.FromMinutes(10);

    readonly SemaphoreSlim _look = new(0, 1);
    /// <summary>What was found last, and when it was said: held to decide what is to be said.</summary>
    readonly Lock _lock = new();
    Asking _asking;
    long _saidAt;

    public async Task<string?> RefusalAsync(CancellationToken cancel)
    {
        var asking = await probe.LookAsync(cancel);
        if (asking == Asking.Unknown) LookSoon();
        // An engine that mounts has its socket, also while it boots: the plugin looks in the wrong place.
        var isLost = asking == Asking.Unknown && !File.Exists(settings.EngineSocket);
        var problem = isLost ? Lost() : asking == Asking.No ? await ProblemAsync(cancel) : null;
        if (IsNews(isLost ? Asking.No : asking)) Say(problem);
        return problem;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            for (var asking = Asking.Unknown; ; await _look.WaitAsync(asking == Asking.Unknown ? Soon : Seldom, stoppingToken))
            {
                asking = await probe.LookAsync(stoppingToken);
                if (IsNews(asking)) Say(asking == Asking.No ? await ProblemAsync(stoppingToken) : null);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested) { }
    }

    public override void Dispose()
    {
        _look.Dispose();
        base.Dispose();
    }

    void LookSoon()
    {
        lock (_lock)
            if (_look.CurrentCount == 0) _look.Release();
    }

    bool IsNews(Asking asking)
    {
        lock (_lock)
        {
            if (asking == Asking.Unknown || (asking == _asking && (asking == Asking.Yes || time.GetElapsedTime(_saidAt) < SayAgain))) return false;
            (_asking, _saidAt) = (asking, time.GetTimestamp());
            return true;
        }
    }

    void Say(string? problem)
    {
        if (problem is null) log.Asked();
        else log.NotAsked(problem);
    }

    string Lost() => $"the plugin finds no socket of the engine at {settings.EngineSocket}, so no limit would hold: look at its settings run.source and DOCKER_HOST (docker plugin inspect)";

    /// <summary>The name must be right: an engine that reads a wrong one ends.</summary>
    async Task<string> ProblemAsync(CancellationToken cancel)
    {
        var name = await NameAsync(cancel);
        return $"the engine does not ask the plugin {name ?? "for GPU memory"} about containers, so no limit would hold. As root, see that /etc/docker/daemon.json has "
            + $"\"authorization-plugins\": [\"{name ?? "NAME"}\"]{(name is null ? " with the name that docker plugin ls shows" : "")}, then let the engine read it: kill -HUP $(pidof dockerd)";
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
}
