// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Starts;

/// <summary>Removes <c>--rm</c> containers whose start was refused. An engine removes one whose start failed, and
/// <c>docker run</c> waits for that for ever; one whose start was refused it leaves.</summary>
sealed partial class LeftBehind(IEngineClient engine, TimeProvider time, ILogger<LeftBehind> log)
{
    /// <summary>Between tries, while the engine does not answer.</summary>
    static readonly TimeSpan[] Pauses =
    [
        TimeSpan.Zero,
        TimeSpan.FromMilliseconds(300),
        TimeSpan.FromSeconds(1),
        TimeSpan.FromSeconds(3),
        TimeSpan.FromSeconds(10),
        TimeSpan.FromSeconds(30),
    ];

    /// <summary>So long a caller has between creating a container and starting it, before a start of which nothing is
    /// known may have been its; and the engine for repeating it.</summary>
    static readonly TimeSpan Fresh = TimeSpan.FromMinutes(1);

    /// <summary>In which starts under way are done.</summary>
    public TimeSpan RemovalDelay { get; init; } = TimeSpan.FromSeconds(10);
    const int MaxEntries = 200;

    /// <summary>When this process began.</summary>
    readonly DateTimeOffset _began = time.GetUtcNow();
    readonly Lock _lock = new();

    /// <summary>Containers that are looked after, as calls name them, and when a start of each was refused
    /// last.</summary>
    readonly Dictionary<string, DateTimeOffset> _refused = new(StringComparer.Ordinal);
    int _sweeps;

    /// <summary>A start of this container was refused. One that hangs has one place, however often it is called
    /// for.</summary>
    /// <param name="name">Its ID, or as the call names it.</param>
    public void Refused(string name)
    {
        lock (_lock)
        {
            var isNew = !_refused.ContainsKey(name);
            if (isNew && _refused.Count >= MaxEntries)
                return;
            _refused[name] = time.GetUtcNow();
            if (!isNew)
                return;
        }
        _ = TryAsync(name);
    }

    /// <summary>A call was refused of which is not known what it was. So an engine repeats one that the plugin's last
    /// process took with it: it may have been the start of any container that was created before. Later, and for
    /// containers that were created later, no such call means anything: else who can make them come, by a flood, would
    /// have others' containers removed.</summary>
    public void RefusedUnknown()
    {
        if (time.GetUtcNow() <= _began + Fresh && Interlocked.Exchange(ref _sweeps, 1) == 0)
            _ = SweepAsync();
    }

    async Task TryAsync(string name)
    {
        var problem = "";
        foreach (var pause in Pauses)
        {
            try
            {
                if (pause > TimeSpan.Zero)
                    await Task.Delay(pause, time);
                var refused = RefusedAt(name);
                await RemoveAsync(name, created => created is null || created <= refused);
                problem = "";
                if (IsDone(name, refused))
                    return;
            }
            catch (EngineException e)
            {
                problem = e.Message;
            }
        }
        IsDone(name, RefusedAt(name));
        if (problem.Length > 0)
            LogNotRemoved(log, name, problem);
    }

    DateTimeOffset RefusedAt(string name)
    {
        lock (_lock)
            return _refused[name];
    }

    /// <summary>Whether no start of it was refused since. Then it is looked after no more.</summary>
    bool IsDone(string name, DateTimeOffset refused)
    {
        lock (_lock)
            return _refused[name] == refused && _refused.Remove(name);
    }

    async Task SweepAsync()
    {
        await Task.Delay(RemovalDelay, time);
        Interlocked.Exchange(ref _sweeps, 0); // who is refused from here on is looked after by the next
        try
        {
            foreach (var id in (await engine.ListCreatedAsync(CancellationToken.None)).Take(MaxEntries))
                await RemoveAsync(id, created => created <= _began && created > _began - Fresh);
        }
        catch (EngineException e)
        {
            LogNotRemoved(log, "a container", e.Message);
        }
    }

    async Task RemoveAsync(string name, Predicate<DateTimeOffset?> isMeant)
    {
        if (
            await engine.GlanceAtContainerAsync(name, CancellationToken.None)
                is { HostConfig.AutoRemove: true, State.Status: "created" } container
            && isMeant(
                DateTimeOffset.TryParse(
                    container.Created,
                    CultureInfo.InvariantCulture,
                    DateTimeStyles.AssumeUniversal,
                    out var created
                )
                    ? created
                    : null
            )
        )
            await engine.RemoveContainerAsync(container.Id, CancellationToken.None);
    }

    [LoggerMessage(606, LogLevel.Warning, "{Container} could not be removed after its start was refused: {Problem}")]
    static partial void LogNotRemoved(ILogger logger, string container, string problem);
}
