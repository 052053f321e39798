using System.Collections.Concurrent;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission;

/// <summary>Describes what is only asked for yet, a container or a service's tasks.</summary>
sealed partial class CreateSpecs(IEngineClient engine, ContainerSpecs specs, IVolumeCatalog volumes, EngineDefaults defaults, TimeProvider time, ILogger<CreateSpecs> log)
{
    /// <summary>For what only makes an early answer better.</summary>
    static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);

    /// <summary>Names that the engine has for this plugin. Never more than there are volumes of ours.</summary>
    readonly ConcurrentDictionary<string, bool> _ours = new(StringComparer.Ordinal);

    /// <summary>What the engine would make of the body. What it adds from elsewhere is asked for only where it can matter, and left out where the engine does not say.</summary>
    /// <param name="body">What is asked for.</param>
    /// <param name="withImage">Whether the image is looked at in any case. Else only where the body has to do with quotas or GPUs by itself.</param>
    /// <param name="cancel">Ends the work.</param>
    public async ValueTask<ContainerSpec> DescribeAsync(CreateBody body, bool withImage, CancellationToken cancel)
    {
        using var deadline = new CancellationTokenSource(Deadline, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, deadline.Token);
        ImageInspect? image = null;
        var others = new List<ContainerInspect>();
        var elsewhere = new Dictionary<string, string>(StringComparer.Ordinal);
        var runtime = defaults.Runtime;
        try
        {
            runtime = await defaults.ReadRuntimeAsync(both.Token);
            foreach (var other in body.HostConfig?.VolumesFrom ?? [])
                if (await engine.InspectContainerAsync(other.Split(':')[0], both.Token) is { } container)
                    others.Add(container);
            var bare = specs.FromCreateBody(body, null, others, runtime);
            foreach (var volume in bare.QuotaMounts.Select(mount => mount.Volume).Distinct())
                if (await FindOtherDriverAsync(volume, both.Token) is { } driver)
                    elsewhere[volume] = driver;
            if ((withImage || bare.IsRelevant) && body.Image is { Length: > 0 } name)
                image = await engine.InspectImageAsync(name, both.Token);
        }
        catch (Exception failure) when (failure is EngineException or OperationCanceledException && !cancel.IsCancellationRequested)
        {
            LogLeftOut(log, failure.Message);
        }
        return specs.FromCreateBody(body, image, others, runtime, elsewhere);
    }

    /// <summary>For which driver the engine has a volume of one of our names, where that is another: a volume from before this plugin, or from when it had another name.</summary>
    async ValueTask<string?> FindOtherDriverAsync(string name, CancellationToken cancel)
    {
        if (volumes.Find(name) is null || _ours.ContainsKey(name))
            return null;
        var driver = await engine.VolumeDriverAsync(name, cancel);
        if (driver is null || !volumes.Owns(new() { Type = "volume", Name = name, Driver = driver }))
            return driver;
        _ours[name] = true; // as long as this process serves it; what runs in the end is judged at the start
        return null;
    }

    [LoggerMessage(602, LogLevel.Debug, "The engine did not say in time what image or other containers add: {Problem}")]
    static partial void LogLeftOut(ILogger logger, string problem);
}
