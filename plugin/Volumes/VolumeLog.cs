namespace Runai.GpuMemory.Volumes;

/// <summary>Events 200 to 299.</summary>
static partial class VolumeLog
{
    [LoggerMessage(
        200,
        LogLevel.Error,
        "The volume file {Path} is damaged: the volume is listed, and not mounted until it is removed and made again"
    )]
    public static partial void VolumeUnreadable(this ILogger log, string path);

    [LoggerMessage(201, LogLevel.Debug, "mounted directory={Directory} volume={Volume} references={References}")]
    public static partial void Mounted(this ILogger log, string directory, string volume, int references);

    [LoggerMessage(202, LogLevel.Debug, "unmounted directory={Directory} references={References}")]
    public static partial void Unmounted(this ILogger log, string directory, int references);

    [LoggerMessage(203, LogLevel.Error, "mount failed directory={Directory} volume={Volume}: {Problem}")]
    public static partial void MountFailed(this ILogger log, string directory, string volume, string problem);

    [LoggerMessage(204, LogLevel.Warning, "unmount kept directory={Directory}: process {Pid} still has it mounted")]
    public static partial void StillMounted(this ILogger log, string directory, int pid);

    [LoggerMessage(205, LogLevel.Error, "directory={Directory} cannot be removed: {Problem}")]
    public static partial void RemovalFailed(this ILogger log, string directory, string problem);

    [LoggerMessage(206, LogLevel.Debug, "collected directory={Directory}: nobody mounts it")]
    public static partial void Collected(this ILogger log, string directory);

    [LoggerMessage(
        215,
        LogLevel.Debug,
        "kept directory={Directory} container={Container}: no process is seen to have it mounted, but the "
            + "container runs, or its mounts cannot be read"
    )]
    public static partial void Kept(this ILogger log, string directory, string? container);

    [LoggerMessage(
        216,
        LogLevel.Debug,
        "the engine does not say which containers run, so their directories are kept: {Problem}"
    )]
    public static partial void RunsUnknown(this ILogger log, string problem);

    [LoggerMessage(207, LogLevel.Error, "collecting directories failed, it is tried again: {Problem}")]
    public static partial void CollectionFailed(this ILogger log, string problem);

    [LoggerMessage(
        208,
        LogLevel.Critical,
        "the engine has taken the plugin's propagated mount away: this process ends, and the engine starts it anew"
    )]
    public static partial void HostLost(this ILogger log);

    [LoggerMessage(
        209,
        LogLevel.Error,
        "the engine does not see the plugin's propagated mount, also after a new start: containers with a "
            + "volume of the plugin will not start"
    )]
    public static partial void HostStillLost(this ILogger log);

    [LoggerMessage(210, LogLevel.Error, "the plugin's propagated mount cannot be watched: {Problem}")]
    public static partial void WatchFailed(this ILogger log, string problem);

    [LoggerMessage(
        214,
        LogLevel.Error,
        "there are more than {Most} volumes in {Folder}: the others are served, and listed when somebody has "
            + "used them, and no new ones are made until some are removed and the plugin is enabled again"
    )]
    public static partial void TooManyVolumes(this ILogger log, int most, string folder);

    [LoggerMessage(
        212,
        LogLevel.Warning,
        "The volume {Volume} is gone: no call of the API can name it, so it could not be removed"
    )]
    public static partial void VolumeDropped(this ILogger log, string volume);

    [LoggerMessage(
        220,
        LogLevel.Error,
        "not asked: API calls are not judged, and no container with a volume of this plugin starts or "
            + "restarts: {Problem}"
    )]
    public static partial void NotAsked(this ILogger log, string problem);

    [LoggerMessage(221, LogLevel.Information, "the engine asks this plugin about API calls")]
    public static partial void Asked(this ILogger log);
}
