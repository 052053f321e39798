namespace Runai.GpuMemory.Gpu;

/// <summary>Events 400 to 499.</summary>
static partial class GpuLog
{
    [LoggerMessage(400, LogLevel.Information, "{Count} GPUs: {Gpus}")]
    public static partial void GpusFound(this ILogger log, int count, string gpus);

    [LoggerMessage(
        401,
        LogLevel.Warning,
        "The sizes of this host's GPUs are not known, so that no quota can be checked against them: {Problem}"
    )]
    public static partial void GpusUnknown(this ILogger log, string problem);

    [LoggerMessage(402, LogLevel.Warning, "GPU {Index} cannot be read: {Problem}")]
    public static partial void GpuUnreadable(this ILogger log, int index, string problem);
}
