// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>The host's GPUs as NVML lists them. NVML is opened, read and closed again, so that it keeps no GPU
/// awake.</summary>
sealed partial class NvmlInventory(
    PluginSettings settings,
    IDriverNodes nodes,
    TimeProvider time,
    ILogger<NvmlInventory> log
) : IGpuInventory
{
    /// <summary>How long nothing found stays nothing found. A driver may be loaded after the plugin.</summary>
    public static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(30);
    static readonly TimeSpan NvmlTimeout = TimeSpan.FromSeconds(2);
    static readonly string[] Folders =
    [
        "lib/x86_64-linux-gnu",
        "lib/aarch64-linux-gnu",
        "lib64",
        "lib",
        "lib/x86_64-linux-gnu/nvidia/current",
        "lib/aarch64-linux-gnu/nvidia/current",
        "local/nvidia/lib64",
        "local/nvidia/lib",
        "lib/nvidia",
        "lib64/nvidia",
    ];

    readonly Lock _lock = new();
    List<GpuDevice> _devices = [];
    string? _problem = "the GPUs have not been read yet";
    string? _logged,
        _driverVersion;
    Task? _reading;
    DateTimeOffset _nextTry;

    public IReadOnlyList<GpuDevice> Devices
    {
        get
        {
            Refresh();
            return _devices;
        }
    }

    public string? Problem
    {
        get
        {
            Refresh();
            return _problem;
        }
    }

    public IReadOnlyList<GpuDevice> Known => _devices;

    public string? KnownProblem => _problem;

    public string? DriverVersion => _driverVersion;

    public bool IsKnown
    {
        get
        {
            Refresh();
            lock (_lock)
                return _reading is null or { IsCompleted: true };
        }
    }

    /// <summary>Reads where there is a reason to. A driver that hangs costs the caller two seconds at most, and only
    /// once.</summary>
    void Refresh()
    {
        Task reading;
        lock (_lock)
        {
            if (_devices.Count > 0)
                return;
            if (_reading is null or { IsCompleted: true })
            {
                if (time.GetUtcNow() < _nextTry)
                    return;
                _nextTry = time.GetUtcNow() + RetryAfter;
                _reading = Task.Factory.StartNew(Read, TaskCreationOptions.LongRunning);
                reading = _reading;
            }
            else
                return;
        }
#pragma warning disable RS0030 // once, until the driver answers: nothing can be judged before
        reading.Wait(NvmlTimeout);
#pragma warning restore RS0030
    }

    void Read()
    {
        try
        {
            var (devices, problem) = ReadFirst();
            _devices = devices;
            _problem = devices.Count > 0 ? null : problem;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _devices = [];
            _problem = e.Message;
        }
        if (_problem is null)
            LogGpusFound(
                log,
                _devices.Count,
                string.Join(", ", _devices.Select(gpu => $"{gpu.Uuid} {gpu.Name} {gpu.TotalBytes >> 20} MiB"))
            );
        else if (_problem != _logged)
            LogGpusUnknown(log, _logged = _problem);
    }

    /// <summary>Whether a library is to be left for the next one by this.</summary>
    public static bool IsUnusable(Exception e) =>
        e is NvmlException or DllNotFoundException or BadImageFormatException or EntryPointNotFoundException;

    /// <summary>From the first library that works; what is wrong with the others is reported only where none
    /// does.</summary>
    (List<GpuDevice>, string?) ReadFirst()
    {
        var problem = $"no libnvidia-ml.so.1 below {settings.Driver}";
        foreach (var library in Libraries(settings))
        {
            try
            {
                return ReadFrom(library);
            }
            catch (Exception e) when (IsUnusable(e))
            {
                problem = e is DllNotFoundException or BadImageFormatException
                    ? $"{library} cannot be loaded: {e.Message.Split(':')[^1].Trim()}"
                    : e.Message;
            }
        }
        return ([], problem);
    }

    (List<GpuDevice>, string?) ReadFrom(string library)
    {
        nodes.Provide();
        using var nvml = Nvml.Open(library);
        _driverVersion = VersionOf(nvml);
        var devices = new List<GpuDevice>();
        var problem = "NVML finds no GPU";
        for (var index = 0; index < nvml.Count(); index++)
        {
            try
            {
                devices.Add(nvml.Device(index));
            }
            catch (NvmlException e)
            {
                // One GPU that is lost, or that has no memory of its own, shall not hide the others.
                LogGpuUnreadable(log, index, problem = e.Message);
            }
        }
        return (devices, problem);
    }

    static string? VersionOf(Nvml nvml)
    {
        try
        {
            return nvml.DriverVersion();
        }
        catch (Exception e) when (e is NvmlException or EntryPointNotFoundException)
        {
            return null;
        }
    }

    /// <summary>Distributions put links to the driver's library here and there, some to absolute paths of the
    /// host.</summary>
    internal static IEnumerable<string> Libraries(PluginSettings settings) =>
        settings.NvmlLibrary is { } library
            ? [library]
            : Folders
                .Select(folder => Target(settings, Path.Combine(settings.Driver, folder, "libnvidia-ml.so.1")))
                .OfType<string>()
                .Distinct();

    /// <summary>The file behind the links, as the plugin sees it; null where there is none.</summary>
    static string? Target(PluginSettings settings, string path)
    {
        for (var links = 0; links < 16; links++)
        {
            var file = new FileInfo(path);
            if (file.LinkTarget is not { } target)
                return file.Exists ? path : null;
            path = target.StartsWith("/usr/", StringComparison.Ordinal)
                ? settings.Driver + target["/usr".Length..]
                : Path.Combine(Path.GetDirectoryName(path)!, target);
        }
        return null;
    }

    [LoggerMessage(400, LogLevel.Information, "{Count} GPUs: {Gpus}")]
    static partial void LogGpusFound(ILogger logger, int count, string gpus);

    [LoggerMessage(
        401,
        LogLevel.Warning,
        "The sizes of this host's GPUs are not known, so quotas are not compared with them: {Problem}"
    )]
    static partial void LogGpusUnknown(ILogger logger, string problem);

    [LoggerMessage(402, LogLevel.Warning, "GPU {Index} cannot be read: {Problem}")]
    static partial void LogGpuUnreadable(ILogger logger, int index, string problem);
}
