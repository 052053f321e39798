// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Docker.DotNet;
using Docker.DotNet.Models;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Engine;

/// <summary>Speaks with the engine over its unix socket. Docker.DotNet makes the ordinary calls. What containers are
/// judged by is read here, strictly and within bounds: the package's models fail on values that engines take from
/// everybody, and keep whatever a container can hold.</summary>
sealed class EngineClient(EngineClientOptions options, SelfCalls own, TimeProvider time) : IEngineClient, IDisposable
{
    const string OfContainer = "container:";
    const int MaxHops = 8;

    readonly EngineTransport _transport = new(options.Socket, own);

    // Each call has a deadline of its own.
    readonly LargeInput _answers = new(maxWaiting: 500, Timeout.InfiniteTimeSpan);

    public void Dispose() => _transport.Dispose();

    public async Task<EngineInfo> InfoAsync(CancellationToken cancel)
    {
        var info =
            await AskAsync((docker, token) => docker.System.GetSystemInfoAsync(token), cancel)
            ?? throw new EngineException("the engine has no /info", 404);
        return new()
        {
            DefaultRuntime = info.DefaultRuntime ?? "",
            Runtimes =
                info.Runtimes?.Where(one => one.Value?.Path is { Length: > 0 })
                    .ToDictionary(one => one.Key, one => one.Value.Path!, StringComparer.Ordinal)
                ?? [],
            CgroupDriver = info.CgroupDriver ?? "",
            Version = info.ServerVersion ?? "",
        };
    }

    public async Task<int?> PingAsync(string target, TimeSpan limit, CancellationToken cancel)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        deadline.CancelAfter(limit);
        try
        {
            using var response = await _transport.SendAsync(target, deadline.Token);
            return (int)response.StatusCode;
        }
        catch (HttpRequestException e)
            when (e.InnerException
                    is SocketException
                    {
                        SocketErrorCode: SocketError.ConnectionRefused or SocketError.AddressNotAvailable
                    }
            )
        {
            return IEngineClient.NoListener;
        }
        catch (Exception e)
            when (e is HttpRequestException or IOException
                || (e is OperationCanceledException && !cancel.IsCancellationRequested)
            )
        {
            return null;
        }
        finally
        {
            await SocketThread.Leave();
        }
    }

    public async Task<ContainerInspect?> InspectContainerAsync(string id, CancellationToken cancel) =>
        await GetContainerAsync(id, EngineJson.Default.ContainerInspect, cancel) is { } container
            ? container with
            {
                Config = container.Config.WithOwnEnvironment(),
                Joined = container.HostConfig.NamesOfJoined(),
                Mounts = await WithHostPathsAsync(container.Mounts, cancel),
                HostConfig = await WithNamespacesAsync(container.HostConfig, cancel),
            }
            : null;

    public async Task<ContainerInspect?> GlanceAtContainerAsync(string id, CancellationToken cancel) =>
        await GetContainerAsync(id, EngineJson.Default.ContainerGlance, cancel) is { } container
            ? new()
            {
                Id = container.Id ?? "",
                Created = container.Created ?? "",
                State = container.State ?? new(),
                HostConfig = container.HostConfig ?? new(),
            }
            : null;

    /// <summary>What others can let grow while it runs, the names that it has in networks and its execs, is not
    /// kept.</summary>
    Task<T?> GetContainerAsync<T>(string id, JsonTypeInfo<T> type, CancellationToken cancel)
        where T : class =>
        ReadAsync(
            $"containers/{EnginePath.Segment(id)}/json",
            options.CallDeadline,
            options.MaxSkimmedBytes,
            (body, token) =>
                ParseAsync(
                    new SelectedMembers(body, type.Properties.Select(property => property.Name).ToHashSet()),
                    type,
                    token
                ),
            cancel
        );

    async Task<HostConfig> WithNamespacesAsync(HostConfig host, CancellationToken cancel) =>
        host with
        {
            PidMode = await NamespaceAsync(host.PidMode, other => other.PidMode, cancel),
            IpcMode = await NamespaceAsync(host.IpcMode, other => other.IpcMode, cancel),
            NetworkMode = await NamespaceAsync(host.NetworkMode, other => other.NetworkMode, cancel),
        };

    /// <summary>Whose namespace it is in the end, where it is another container's.</summary>
    async Task<string?> NamespaceAsync(string? mode, Func<HostConfig, string?> modeOf, CancellationToken cancel)
    {
        for (var hops = 0; hops < MaxHops && mode?.StartsWith(OfContainer, StringComparison.Ordinal) == true; hops++)
        {
            if (
                await GetContainerAsync(mode[OfContainer.Length..], EngineJson.Default.ContainerInspect, cancel)
                is not { HostConfig: { } other }
            )
                break;
            mode = modeOf(other);
        }
        return mode;
    }

    async Task<IReadOnlyList<MountPoint>> WithHostPathsAsync(IReadOnlyList<MountPoint> mounts, CancellationToken cancel)
    {
        if (!mounts.Any(IsLocal))
            return mounts;
        var found = new List<MountPoint>(mounts.Count);
        foreach (var mount in mounts)
            found.Add(
                IsLocal(mount) && await InspectVolumeAsync(mount.Name!, cancel) is { Options.Count: > 0 } volume
                    ? mount with
                    {
                        HostPaths = HostPathsOf(volume),
                    }
                    : mount
            );
        return found;

        static bool IsLocal(MountPoint mount) =>
            mount is { Type: "volume", Driver: LocalVolume.Driver, Name.Length: > 0 };
    }

    public async Task<IReadOnlyList<string>?> VolumeHostPathsAsync(string name, CancellationToken cancel) =>
        await InspectVolumeAsync(name, cancel) is { Driver: null or "" or LocalVolume.Driver } volume
            ? HostPathsOf(volume)
            : null;

    Task<VolumeResponse?> InspectVolumeAsync(string name, CancellationToken cancel)
    {
        var segment = EnginePath.Segment(name);
        return AskAsync((docker, token) => docker.Volumes.InspectAsync(segment, token), cancel);
    }

    static List<string> HostPathsOf(VolumeResponse volume) =>
        LocalVolume.HostPaths(volume.Options?.ToDictionary(StringComparer.Ordinal));

    public Task<ExecInspect?> InspectExecAsync(string execId, CancellationToken cancel) =>
        GetAsync($"exec/{EnginePath.Segment(execId)}/json", EngineJson.Default.ExecInspect, cancel);

    public async Task<ImageInspect?> InspectImageAsync(string name, CancellationToken cancel) =>
        await GetAsync($"images/{EnginePath.Segments(name)}/json", EngineJson.Default.ImageInspect, cancel) is { } image
            ? image with
            {
                Config = image.Config?.WithOwnEnvironment(),
            }
            : null;

    public Task<IReadOnlyList<string>> ListRunningAsync(CancellationToken cancel) =>
        ListAsync("containers/json", cancel);

    public Task<IReadOnlyList<string>> ListCreatedAsync(CancellationToken cancel) =>
        ListAsync($"containers/json?all=1&filters={Uri.EscapeDataString("""{"status":["created"]}""")}", cancel);

    /// <summary>The engine's own filter finds none where several begin so, and takes no pattern.</summary>
    public async Task<IReadOnlyList<string>> ListByPrefixAsync(string id, CancellationToken cancel) =>
        [
            .. (await ListAsync("containers/json?all=1", cancel)).Where(one =>
                one.StartsWith(id, StringComparison.Ordinal)
            ),
        ];

    async Task<IReadOnlyList<string>> ListAsync(string path, CancellationToken cancel) =>
        await ReadAsync(
            path,
            options.ListDeadline,
            long.MaxValue,
            async (body, token) => await ContainerIds.ReadAsync(body, token),
            cancel
        ) ?? [];

    public async Task<string?> PluginNameAsync(string pluginId, CancellationToken cancel) =>
        await InspectPluginAsync(pluginId, cancel) is { Name: { Length: > 0 } name } ? name : null;

    public async Task<IReadOnlyList<LostSource>> LostSourcesAsync(string pluginId, CancellationToken cancel)
    {
        var plugin = await InspectPluginAsync(pluginId, cancel);
        return
        [
            .. from set in plugin?.Settings?.Mounts ?? []
            from mounted in plugin?.Config?.Mounts ?? []
            where
                set is { Name: not null, Source: not null }
                && mounted?.Name == set.Name
                && mounted.Source is not null
                && mounted.Source != set.Source
            select new LostSource(set.Name, set.Source!, mounted.Source!),
        ];
    }

    Task<Plugin?> InspectPluginAsync(string id, CancellationToken cancel)
    {
        var segment = EnginePath.Segment(id);
        return AskAsync((docker, token) => docker.Plugin.InspectPluginAsync(segment, token), cancel);
    }

    public async Task<string?> VolumeDriverAsync(string name, CancellationToken cancel)
    {
        // The engine takes the filter for a regular expression.
        var pattern = $"^{name.Replace(".", "[.]", StringComparison.Ordinal)}$";
        var filter = new VolumesListParameters
        {
            Filters = new Dictionary<string, IDictionary<string, bool>>
            {
                ["name"] = new Dictionary<string, bool> { [pattern] = true },
            },
        };
        var list = await AskAsync((docker, token) => docker.Volumes.ListAsync(filter, token), cancel);
        return list?.Volumes?.FirstOrDefault(volume => volume?.Name == name)?.Driver
            ?? (list is { Warnings: null or [] } ? "" : null);
    }

    public async Task<string?> NetworkNameAsync(string network, CancellationToken cancel)
    {
        var segment = EnginePath.Segment(network);
        return (await AskAsync((docker, token) => docker.Networks.InspectNetworkAsync(segment, token), cancel))?.Name;
    }

    public async Task<PreviousService?> PreviousServiceAsync(string service, CancellationToken cancel)
    {
        var path = $"services/{EnginePath.Segment(service)}";
        if (await GetAsync(path, EngineJson.Default.ServiceInspect, cancel) is not { } found)
            return null;
        var body = found.PreviousSpec is { ValueKind: JsonValueKind.Object } spec
            ? JsonSerializer.SerializeToUtf8Bytes(spec, EngineJson.Default.JsonElement)
            : null;
        return new(found.Version?.Index ?? 0, body);
    }

    public Task<byte[]?> GetArchiveAsync(string id, string path, int maxBytes, CancellationToken cancel)
    {
        var segment = EnginePath.Segment(id);
        return UseAsync(
            new(_transport, options.ArchiveDeadline, cancel) { MaxBytes = maxBytes },
            async call =>
            {
                var archive = await call.Docker.Containers.GetArchiveFromContainerAsync(
                    segment,
                    new() { Path = path },
                    statOnly: false,
                    call.Token
                );
                using var all = new MemoryStream();
                await archive.Stream!.CopyToAsync(all, call.Token);
                return all.ToArray();
            }
        );
    }

    public async Task<PathStat?> StatAsync(string id, string path, CancellationToken cancel)
    {
        var segment = EnginePath.Segment(id);
        return
            await UseAsync(
                new(_transport, options.ArchiveDeadline, cancel),
                call =>
                    call.Docker.Containers.GetArchiveFromContainerAsync(
                        segment,
                        new() { Path = path },
                        statOnly: true,
                        call.Token
                    )
            )
                is { } found
            ? new(found.Stat.Mode, found.Stat.LinkTarget)
            : null;
    }

    public Task PutArchiveAsync(string id, string directory, ReadOnlyMemory<byte> tar, CancellationToken cancel)
    {
        var segment = EnginePath.Segment(id);
        return CommandAsync(
            id,
            new(_transport, options.ArchiveDeadline, cancel) { MaxBytes = options.MaxAnswerBytes },
            async call =>
            {
                using var content = MemoryMarshal.TryGetArray(tar, out var bytes)
                    ? new MemoryStream(bytes.Array!, bytes.Offset, bytes.Count, writable: false)
                    : new MemoryStream(tar.ToArray());
                await call.Docker.Containers.ExtractArchiveToContainerAsync(
                    segment,
                    new() { Path = directory },
                    content,
                    call.Token
                );
            }
        );
    }

    public Task StopContainerAsync(string id, TimeSpan grace, CancellationToken cancel)
    {
        var segment = EnginePath.Segment(id);
        var query = string.Create(CultureInfo.InvariantCulture, $"t={(int)grace.TotalSeconds}");
        return CommandAsync(
            id,
            new(_transport, options.StopDeadline, cancel) { MaxBytes = options.MaxAnswerBytes, Query = query },
            call => call.Docker.Containers.StopContainerAsync(segment, new(), call.Token)
        );
    }

    public Task RemoveContainerAsync(string id, CancellationToken cancel)
    {
        var segment = EnginePath.Segment(id);
        return CommandAsync(
            id,
            new(_transport, options.CallDeadline, cancel) { MaxBytes = options.MaxAnswerBytes },
            call => call.Docker.Containers.RemoveContainerAsync(segment, new() { RemoveVolumes = true }, call.Token)
        );
    }

    public async Task<IAsyncEnumerable<EngineEvent>> WatchContainersAsync(CancellationToken cancel)
    {
        // The engine answers just before it subscribes; a little of the past closes that gap.
        var since = (time.GetUtcNow() - options.EventOverlap).ToUnixTimeMilliseconds();
        var path = string.Create(
            CultureInfo.InvariantCulture,
            $"events?since={since / 1000}.{since % 1000:000}000000&filters={EventFilter}"
        );
        var call = new EngineCall(_transport, options.CallDeadline, cancel);
        try
        {
            var events = await call.GetAsync(path);
            call.LiftDeadline();
            return new EventStream(
                events,
                options.MaxEventBytes,
                () =>
                {
                    _transport.Forget();
                    call.Dispose();
                }
            );
        }
        catch (Exception e)
        {
            var failure = call.Failure(e);
            call.Dispose();
            if (failure is not null)
                throw failure;
            throw;
        }
    }

    static readonly string EventFilter = Uri.EscapeDataString(
        """{"type":["container"],"event":["create","start","die","stop","destroy","rename"]}"""
    );

    /// <summary>One of the package's calls that answers an object; null where the engine has none.</summary>
    Task<T?> AskAsync<T>(Func<DockerClient, CancellationToken, Task<T>> ask, CancellationToken cancel)
        where T : class =>
        UseAsync(
            new(_transport, options.CallDeadline, cancel) { MaxBytes = options.MaxAnswerBytes, Whole = _answers },
            call => ask(call.Docker, call.Token)
        );

    static async Task CommandAsync(string id, EngineCall call, Func<EngineCall, Task> command)
    {
        var done = await UseAsync(
            call,
            async one =>
            {
                await command(one);
                return "";
            }
        );
        if (done is null)
            throw new EngineException($"the engine has no container {id}", 404);
    }

    /// <summary>An answer that is read here.</summary>
    Task<T?> ReadAsync<T>(
        string path,
        TimeSpan limit,
        long maxBytes,
        Func<Stream, CancellationToken, Task<T?>> read,
        CancellationToken cancel
    )
        where T : class =>
        UseAsync(
            new(_transport, limit, cancel) { MaxBytes = maxBytes },
            async call => (await read(await call.GetAsync(path), call.Token))!
        );

    Task<T?> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancel)
        where T : class =>
        ReadAsync(
            path,
            options.CallDeadline,
            options.MaxAnswerBytes,
            (body, token) => ParseAsync(body, type, token),
            cancel
        );

    async Task<T?> ParseAsync<T>(Stream json, JsonTypeInfo<T> type, CancellationToken cancel)
        where T : class
    {
        using var bounded = new BoundedStream(json, options.MaxAnswerBytes);
        using var answer = await _answers.ReadAsync(
            bounded,
            bytes => JsonSerializer.Deserialize(bytes.Span, type),
            cancel
        );
        return answer.Value;
    }

    /// <summary>Uses a call and ends it; 404 is null. Whatever the package throws is a failure of the call.</summary>
    static async Task<T?> UseAsync<T>(EngineCall call, Func<EngineCall, Task<T>> use)
        where T : class
    {
        try
        {
            return await use(call);
        }
        catch (EngineException) when (call.IsNotFound)
        {
            return null;
        }
        catch (Exception e) when (call.Failure(e) is { } failure)
        {
            throw failure;
        }
        finally
        {
            call.Dispose();
            await SocketThread.Leave();
        }
    }
}
