// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>Describes what is only asked for yet, a container or a service's tasks.</summary>
sealed partial class CreateResolver(
    IEngineClient engine,
    ContainerSpecMapper specs,
    IVolumeCatalog volumes,
    EngineDefaults defaults,
    TimeProvider time,
    ILogger<CreateResolver> log
)
{
    /// <summary>For what only makes an early answer better.</summary>
    static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);

    /// <summary>For what is refused where the engine does not say it.</summary>
    static readonly TimeSpan LongDeadline = TimeSpan.FromSeconds(3);

    /// <summary>Names that the engine has for this plugin. Never more than there are volumes of ours.</summary>
    readonly ConcurrentDictionary<string, bool> _ours = new(StringComparer.Ordinal);

    /// <summary>What the engine would make of the body. What it adds from elsewhere is asked for only where it can
    /// matter.</summary>
    /// <param name="body">What is asked for.</param>
    /// <param name="withImage">Whether the image is looked at in any case. Else only where the body has to do with
    /// quotas or GPUs by itself.</param>
    /// <param name="needsImage">Whether nothing is judged without it: no later call asks again. Else it is left out
    /// where the engine does not say it in time, for the start decides.</param>
    /// <param name="cancel">Ends the work.</param>
    /// <returns>The container, or why it cannot be judged.</returns>
    public async ValueTask<(ContainerSpec? Spec, Reason? Refusal)> DescribeAsync(
        CreateBody body,
        bool withImage,
        bool needsImage,
        CancellationToken cancel
    )
    {
        if (TooMany(body.MountCount) is { } refusal)
            return (null, refusal);
        var (runtime, _) = await AskAsync(defaults.ReadRuntimeAsync, Deadline, cancel);
        runtime ??= defaults.Runtime;
        var others = new List<ContainerInspect>();
        if (body.HostConfig?.VolumesFrom is { Count: > 0 } names)
        {
            var (_, problem) = await AskAsync(
                token => FindOthersAsync(names, others, body.MountCount, token),
                LongDeadline,
                cancel
            );
            if (problem is not null)
                return (null, Unknown("containers of --volumes-from"));
            if (TooMany(body.MountCount + others.Sum(other => other.Mounts.Count)) is { } more)
                return (null, more);
        }
        var bare = specs.FromCreateBody(body, null, others, runtime);
        var elsewhere = new Dictionary<string, string>(StringComparer.Ordinal);
        await AskAsync(token => FindOtherDriversAsync(bare, elsewhere, token), Deadline, cancel);
        ImageInspect? image = null;
        if ((withImage || bare.IsRelevant) && body.Image is { Length: > 0 } name)
        {
            (image, var problem) = await AskAsync(
                async token => await engine.InspectImageAsync(name, token),
                needsImage ? LongDeadline : Deadline,
                cancel
            );
            if (problem is not null && needsImage)
                return (null, Unknown("image"));
        }
        return (specs.FromCreateBody(body, image, others, runtime, elsewhere), null);
    }

    /// <summary>Each is asked for once, and none any more when there are too many mounts already.</summary>
    async ValueTask<object?> FindOthersAsync(
        IReadOnlyList<string> names,
        List<ContainerInspect> others,
        int mounts,
        CancellationToken cancel
    )
    {
        foreach (var name in names.Select(name => name.Split(':', 2)[0]).Distinct(StringComparer.Ordinal))
        {
            if (mounts <= CreateBody.MaxMounts && await engine.InspectContainerAsync(name, cancel) is { } other)
            {
                others.Add(other);
                mounts += other.Mounts.Count;
            }
        }
        return null;
    }

    async ValueTask<object?> FindOtherDriversAsync(
        ContainerSpec bare,
        Dictionary<string, string> elsewhere,
        CancellationToken cancel
    )
    {
        foreach (var volume in bare.QuotaMounts.Select(mount => mount.Volume).Distinct())
            if (await FindOtherDriverAsync(volume, cancel) is { } driver)
                elsewhere[volume] = driver;
        return null;
    }

    /// <summary>For which driver the engine has a volume of one of our names, where that is another: a volume from
    /// before this plugin, or from when it had another name.</summary>
    async ValueTask<string?> FindOtherDriverAsync(string name, CancellationToken cancel)
    {
        if (volumes.Find(name) is null || _ours.ContainsKey(name))
            return null;
        var driver = await engine.VolumeDriverAsync(name, cancel);
        if (
            driver is null
            || !volumes.Owns(
                new()
                {
                    Type = "volume",
                    Name = name,
                    Driver = driver,
                }
            )
        )
            return driver;
        _ours[name] = true; // as long as this process serves it; what runs in the end is judged at the start
        return null;
    }

    async ValueTask<(T? Answer, string? Problem)> AskAsync<T>(
        Func<CancellationToken, ValueTask<T?>> ask,
        TimeSpan limit,
        CancellationToken cancel
    )
        where T : class
    {
        using var deadline = new EngineDeadline(limit, time, cancel);
        try
        {
            return (await ask(deadline.Token), null);
        }
        catch (Exception e) when (deadline.IsNoAnswer(e))
        {
            LogLeftOut(log, e.Message);
            return (null, e.Message);
        }
    }

    static Reason Unknown(string what) =>
        new(
            "engine",
            $"the GPU memory plugin could not learn from the engine in time what the {what} would add, so the "
                + "call is refused: try again"
        );

    static Reason? TooMany(int mounts) =>
        mounts <= CreateBody.MaxMounts
            ? null
            : new(
                "mounts",
                $"it has {mounts} mounts and --volumes-from, and the GPU memory plugin judges at most "
                    + $"{CreateBody.MaxMounts}: mount fewer, or a folder above them"
            );

    [LoggerMessage(602, LogLevel.Debug, "The engine did not describe the image or other containers in time: {Problem}")]
    static partial void LogLeftOut(ILogger logger, string problem);
}
