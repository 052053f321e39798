// SPDX-License-Identifier: Apache-2.0
using System.Formats.Tar;
using System.Text;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Admission;

/// <summary>An engine in memory: containers, images, and of their files those that are set.</summary>
sealed class FakeEngine : IEngineClient
{
    public Dictionary<string, ContainerInspect> Containers { get; } = [];
    public Dictionary<string, ImageInspect> Images { get; } = [];

    /// <summary>Names by ID.</summary>
    public Dictionary<string, string> Networks { get; } = [];

    /// <summary>By container and path. A value that starts with <c>-> </c> is a symbolic link.</summary>
    public Dictionary<(string Id, string Path), string> Files { get; } = [];

    /// <summary>Of files and folders that do not have the usual one.</summary>
    public Dictionary<string, UnixFileMode> Modes { get; } = [];
    public List<string> Calls { get; } = [];
    public EngineInfo Info { get; set; } = new() { DefaultRuntime = "runc" };
    public EngineException? Failure { get; set; }

    /// <summary>Never answers.</summary>
    public bool Hangs { get; set; }

    /// <summary>Never answers calls that are written so.</summary>
    public string? HangsAt { get; set; }

    /// <summary>Runs at each call.</summary>
    public Action<string>? OnCall { get; set; }
    public bool HasEtc { get; set; } = true;

    async Task CallAsync(string what, CancellationToken cancel)
    {
        lock (Calls)
            Calls.Add(what);
        OnCall?.Invoke(what);
        if (Hangs || what == HangsAt)
            await Task.Delay(Timeout.Infinite, cancel);
        if (Failure is not null)
            throw Failure;
    }

    public Task<int?> PingAsync(string target, TimeSpan limit, CancellationToken cancel) => Task.FromResult<int?>(200);

    public async Task<EngineInfo> InfoAsync(CancellationToken cancel)
    {
        await CallAsync("info", cancel);
        return Info;
    }

    public async Task<ContainerInspect?> InspectContainerAsync(string id, CancellationToken cancel)
    {
        await CallAsync($"inspect {id}", cancel);
        return Containers.Values.FirstOrDefault(c => c.Name == "/" + id)
            ?? Containers.Values.FirstOrDefault(c => c.Id.StartsWith(id, StringComparison.Ordinal));
    }

    public async Task<ContainerInspect?> GlanceAtContainerAsync(string id, CancellationToken cancel)
    {
        await CallAsync($"glance {id}", cancel);
        return
            Containers.Values.FirstOrDefault(c => c.Id.StartsWith(id, StringComparison.Ordinal) || c.Name == "/" + id)
                is { } found
            ? new()
            {
                Id = found.Id,
                Created = found.Created,
                State = found.State,
                HostConfig = found.HostConfig,
            }
            : null;
    }

    public async Task<IReadOnlyList<string>> ListCreatedAsync(CancellationToken cancel)
    {
        await CallAsync("list created", cancel);
        return [.. Containers.Values.Where(c => c.State.Status == "created").Select(c => c.Id)];
    }

    public async Task<ImageInspect?> InspectImageAsync(string name, CancellationToken cancel)
    {
        await CallAsync($"image {name}", cancel);
        return Images.GetValueOrDefault(name);
    }

    public async Task<byte[]?> GetArchiveAsync(string id, string path, int maxBytes, CancellationToken cancel)
    {
        await CallAsync($"get {id} {path}", cancel);
        if (!Files.TryGetValue((id, path), out var text))
            return null;
        using var tar = new MemoryStream();
        using (var writer = new TarWriter(tar, leaveOpen: true))
            writer.WriteEntry(
                text.StartsWith("-> ", StringComparison.Ordinal)
                    ? new PaxTarEntry(TarEntryType.SymbolicLink, Path.GetFileName(path)) { LinkName = text[3..] }
                : text == "directory" ? new PaxTarEntry(TarEntryType.Directory, Path.GetFileName(path))
                : text == "fifo" ? new PaxTarEntry(TarEntryType.Fifo, Path.GetFileName(path))
                : new PaxTarEntry(TarEntryType.RegularFile, Path.GetFileName(path))
                {
                    Mode = Modes.GetValueOrDefault(path, (UnixFileMode)0b110_100_100),
                    DataStream = new MemoryStream(Encoding.UTF8.GetBytes(text)),
                }
            );
        return tar.Length <= maxBytes
            ? tar.ToArray()
            : throw new EngineException("the archive is too large") { IsTooLong = true };
    }

    public async Task<PathStat?> StatAsync(string id, string path, CancellationToken cancel)
    {
        await CallAsync($"stat {id} {path}", cancel);
        var (file, directory, link) = (
            0b110_100_100u,
            1u << 31 | (uint)Modes.GetValueOrDefault(path, (UnixFileMode)0b111_101_101),
            1u << 27
        );
        return Files.TryGetValue((id, path), out var text)
            ? text.StartsWith("-> /", StringComparison.Ordinal)
                ? new(link, text[3..])
                : new(
                    text.StartsWith("-> ", StringComparison.Ordinal) ? link
                    : text == "directory" ? directory
                    : file
                )
            : Files.Keys.Any(f => f.Id == id && f.Path.StartsWith(path + "/", StringComparison.Ordinal))
            || (path == "/etc" && HasEtc)
                ? new(directory)
                : null;
    }

    public async Task PutArchiveAsync(string id, string directory, ReadOnlyMemory<byte> tar, CancellationToken cancel)
    {
        await CallAsync($"put {id} {directory}", cancel);
        if (directory == "/etc" && !HasEtc)
            throw new EngineException("Could not find the file /etc in container", 404);
        using var reader = new TarReader(new MemoryStream(tar.ToArray()));
        while (reader.GetNextEntry() is { } entry)
        {
            if (entry.EntryType == TarEntryType.RegularFile)
            {
                using var text = new StreamReader(entry.DataStream!);
                Files[(id, $"{directory.TrimEnd('/')}/{entry.Name}")] = await text.ReadToEndAsync(cancel);
            }
        }
    }

    /// <summary>By name; what is not here is this plugin's.</summary>
    public Dictionary<string, string?> VolumeDrivers { get; } = [];

    public async Task<string?> VolumeDriverAsync(string name, CancellationToken cancel)
    {
        await CallAsync($"volume {name}", cancel);
        return VolumeDrivers.GetValueOrDefault(name, "runai/gpu-memory:latest");
    }

    public Dictionary<string, IReadOnlyList<string>> Volumes { get; } = [];
    public Dictionary<string, ExecInspect> Execs { get; } = [];

    public async Task<IReadOnlyList<string>> ListByPrefixAsync(string id, CancellationToken cancel)
    {
        await CallAsync($"list {id}", cancel);
        return [.. Containers.Values.Select(c => c.Id).Where(c => c.StartsWith(id, StringComparison.Ordinal))];
    }

    public async Task<IReadOnlyList<string>?> VolumeHostPathsAsync(string name, CancellationToken cancel)
    {
        await CallAsync($"volume {name}", cancel);
        return Volumes.GetValueOrDefault(name);
    }

    public async Task<ExecInspect?> InspectExecAsync(string execId, CancellationToken cancel)
    {
        await CallAsync($"exec {execId}", cancel);
        return Execs.GetValueOrDefault(execId);
    }

    public Task<IReadOnlyList<string>> ListRunningAsync(CancellationToken cancel) =>
        Task.FromResult<IReadOnlyList<string>>([]);

    public Task RemoveContainerAsync(string id, CancellationToken cancel) => CallAsync($"remove {id}", cancel);

    public Task StopContainerAsync(string id, TimeSpan grace, CancellationToken cancel) =>
        CallAsync($"stop {id}", cancel);

    public Task<IReadOnlyList<LostSource>> LostSourcesAsync(string pluginId, CancellationToken cancel) =>
        Task.FromResult<IReadOnlyList<LostSource>>([]);

    public Task<string?> PluginNameAsync(string pluginId, CancellationToken cancel) => Task.FromResult<string?>(null);

    public async Task<string?> NetworkNameAsync(string network, CancellationToken cancel)
    {
        await CallAsync($"network {network}", cancel);
        return Networks.GetValueOrDefault(network);
    }

    public PreviousService? Previous { get; set; }

    public async Task<PreviousService?> PreviousServiceAsync(string service, CancellationToken cancel)
    {
        await CallAsync($"service {service}", cancel);
        return Previous;
    }

    public Task<IAsyncEnumerable<EngineEvent>> WatchContainersAsync(CancellationToken cancel) =>
        throw new NotSupportedException();
}

/// <summary>The volumes <c>runai</c> (no quota), <c>half</c> (0.5), <c>bad</c> (an option that is no quota), and two
/// that users made are ours.</summary>
sealed class FakeVolumes : IVolumeCatalog
{
    const string Driver = "runai/gpu-memory";
    public string DriverName => Driver;
    readonly QuotaVolume[] _volumes =
    [
        new("runai", null),
        new("half", "0.5"),
        new("bad", "2"),
        new("alices", "0.5") { Owner = "alice" },
        new("sockets", "0.5") { Owner = "" },
        new("broken", null) { IsDamaged = true },
    ];

    public QuotaVolume? Find(string name) => Array.Find(_volumes, v => v.Name == name);

    public IReadOnlyList<QuotaVolume> List() => _volumes;

    public bool Owns(MountPoint mount) => mount.Type == "volume" && mount.Driver is { } driver && IsThisDriver(driver);

    public bool IsThisDriver(string driver) => driver is Driver or Driver + ":latest";
}

/// <summary>A host with the nodes of two NVIDIA GPUs and of a DRM card, and with links to them.</summary>
sealed class FakeNodes : IDeviceNodes
{
    static readonly string[] Gpus =
    [
        "/dev/nvidia0",
        "/dev/nvidia1",
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia-caps/nvidia-cap1",
        "/dev/dri/card0",
        "/dev/dri/renderD128",
        "/dev/char/195:0",
        "/dev/mygpu",
    ];

    public bool HasGpu { get; set; } = true;

    public DevicePath Classify(string hostPath) =>
        !HasGpu ? new(DevicePathKind.NotGpu)
        : !hostPath.StartsWith("/dev", StringComparison.Ordinal) ? new(DevicePathKind.Unknown)
        : Array.Find(Gpus, g => g == hostPath || g.StartsWith(hostPath + "/", StringComparison.Ordinal)) is { } node
            ? new(DevicePathKind.Gpu, node)
        : new(DevicePathKind.NotGpu);

    public bool IsHarmless(string hostPath) =>
        Classify(hostPath).Kind == DevicePathKind.Gpu || hostPath is "/dev/fuse" or "/dev/snd";
}

sealed class FakeGpus : IGpuInventory
{
    public IReadOnlyList<GpuDevice> Devices { get; set; } =
    [
        new(0, "GPU-11111111-0000", "NVIDIA H200", 150754820096, 645922816),
        new(1, "GPU-22222222-0000", "NVIDIA GeForce RTX 2080 Ti", 11522801664, 0),
    ];
    public string? Problem => null;
    public string? DriverVersion { get; set; }
}
