namespace Runai.GpuMemory.Reconciliation;

/// <summary>Events 500 to 599.</summary>
static partial class ReconciliationLog
{
    [LoggerMessage(
        500,
        LogLevel.Information,
        "quota container={Container} name={Name} directory={Directory} limit={Limit}"
    )]
    public static partial void QuotaWritten(
        this ILogger log,
        string container,
        string name,
        string directory,
        string limit
    );

    [LoggerMessage(
        501,
        LogLevel.Warning,
        "running against the rules container={Container} name={Name} image={Image} gpu={Gpu} rules={Rules}: {Reasons}"
    )]
    public static partial void RunsAgainstRules(
        this ILogger log,
        string container,
        string name,
        string image,
        string gpu,
        string rules,
        string reasons
    );

    [LoggerMessage(
        502,
        LogLevel.Warning,
        "container={Container} name={Name} loses the account of its processes when the plugin is disabled, for "
            + "its mount of directory={Directory} could not be made private: {Problem}"
    )]
    public static partial void NotPrivate(
        this ILogger log,
        string container,
        string name,
        string directory,
        string problem
    );

    [LoggerMessage(
        503,
        LogLevel.Warning,
        "container={Container} name={Name} has mounted directory={Directory} of another running container, and "
            + "gets no quota there"
    )]
    public static partial void ForeignDirectory(this ILogger log, string container, string name, string directory);

    [LoggerMessage(504, LogLevel.Information, "watching the engine's containers")]
    public static partial void Connected(this ILogger log);

    [LoggerMessage(
        505,
        LogLevel.Warning,
        "the engine does not answer at {Socket} (settings run.source and DOCKER_HOST), trying again until it "
            + "does: {Problem}"
    )]
    public static partial void Disconnected(this ILogger log, string socket, string problem);

    [LoggerMessage(506, LogLevel.Warning, "container={Container} is not done yet: {Problem}")]
    public static partial void NotReconciled(this ILogger log, string container, string problem);

    [LoggerMessage(507, LogLevel.Warning, "container={Container} has no preload of the shim: {Problem}")]
    public static partial void NotInjected(this ILogger log, string container, string problem);

    [LoggerMessage(508, LogLevel.Error, "a bug, please report it")]
    public static partial void Bug(this ILogger log, Exception exception);

    [LoggerMessage(509, LogLevel.Warning, "the sweep over all containers failed, the next one follows: {Problem}")]
    public static partial void SweepFailed(this ILogger log, string problem);

    [LoggerMessage(
        512,
        LogLevel.Information,
        "quota container={Container} name={Name} directory={Directory} limit={Limit}"
    )]
    public static partial void QuotaWrittenEarly(
        this ILogger log,
        string container,
        string name,
        string directory,
        string limit
    );

    [LoggerMessage(
        511,
        LogLevel.Information,
        "process {Pid} opened the shim, and its quota waits for the engine's word: {Problem}"
    )]
    public static partial void NotEarly(this ILogger log, int pid, string problem);

    [LoggerMessage(510, LogLevel.Information, "this plugin is {Name} to the engine")]
    public static partial void NameKnown(this ILogger log, string name);

    [LoggerMessage(
        514,
        LogLevel.Warning,
        "audit: running against the rules container={Container} name={Name} image={Image} gpu={Gpu} "
            + "rules={Rules}: {Reasons}"
    )]
    public static partial void WouldRunAgainstRules(
        this ILogger log,
        string container,
        string name,
        string image,
        string gpu,
        string rules,
        string reasons
    );

    [LoggerMessage(
        515,
        LogLevel.Warning,
        "container={Container} has more of a GPU than it may, and could not be judged, the next reading "
            + "follows: {Problem}"
    )]
    public static partial void SuspectUnknown(this ILogger log, string container, string problem);

    [LoggerMessage(
        513,
        LogLevel.Warning,
        "what containers use of the GPUs could not be compared with their quotas, the next reading follows: {Problem}"
    )]
    public static partial void UseUnknown(this ILogger log, string problem);

    [LoggerMessage(516, LogLevel.Error, "{Problem} (docs/operate.md, \"Upgrade, removal\")")]
    public static partial void SourceLost(this ILogger log, string problem);

    [LoggerMessage(517, LogLevel.Debug, "whether process {Pid} runs without the shim is unknown: {Problem}")]
    public static partial void ProgramUnknown(this ILogger log, int pid, string problem);
}
