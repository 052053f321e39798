using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission;

/// <summary>Describes what is only asked for yet, a container or a service's tasks.</summary>
sealed partial class CreateSpecs(IEngineClient engine, ContainerSpecs specs, EngineDefaults defaults, TimeProvider time, ILogger<CreateSpecs> log)
{
    /// <summary>For what only makes an early answer better.</summary>
    static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);

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
        var runtime = defaults.Runtime;
        try
        {
            runtime = await defaults.ReadRuntimeAsync(both.Token);
            foreach (var other in body.HostConfig?.VolumesFrom ?? [])
                if (await engine.InspectContainerAsync(other.Split(':')[0], both.Token) is { } container)
                    others.Add(container);
            if ((withImage || specs.FromCreateBody(body, null, others, runtime).IsRelevant) && body.Image is { Length: > 0 } name)
                image = await engine.InspectImageAsync(name, both.Token);
        }
        catch (Exception failure) when (failure is EngineException or OperationCanceledException && !cancel.IsCancellationRequested)
        {
            LogLeftOut(log, failure.Message);
        }
        return specs.FromCreateBody(body, image, others, runtime);
    }

    [LoggerMessage(602, LogLevel.Debug, "The engine did not say in time what image or other containers add: {Problem}")]
    static partial void LogLeftOut(ILogger logger, string problem);
}
