using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Runai.GpuMemory.Engine;

/// <summary>Speaks with the engine over its unix socket. The API version is the newest that both sides know, agreed anew after every lost connection, since an
/// engine that comes back may be another one.</summary>
public sealed class EngineClient : IEngineClient, IDisposable
{
    static readonly Version Newest = new(1, 51);
    static readonly Version Oldest = new(1, 24);
    const string OfContainer = "container:";
    const int MaxHops = 8;

    readonly EngineClientOptions _options;
    readonly TimeProvider _time;
    readonly OwnCalls _own;
    readonly HttpClient _http;
    // Each call has a deadline of its own.
    readonly LargeInput _answers = new(mostWaiting: 500, Timeout.InfiniteTimeSpan);
    volatile string? _version;

    public EngineClient(EngineClientOptions options, OwnCalls own, TimeProvider time)
    {
        (_options, _own, _time) = (options, own, time);
        _http = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = (_, cancel) => ConnectAsync(options.Socket, cancel),
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),
            ActivityHeadersPropagator = null,
        })
        {
            BaseAddress = new Uri("http://docker/"),
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    public void Dispose() => _http.Dispose();

    public async Task<EngineInfo> InfoAsync(CancellationToken cancel) =>
        await GetAsync("info", EngineJson.Default.EngineInfo, cancel) ?? throw new EngineException("the engine has no /info", 404);

    public async Task<int?> PingAsync(string target, TimeSpan limit, CancellationToken cancel)
    {
        using var deadline = Deadline(limit, cancel);
        try
        {
            using var response = await SendOnceAsync(HttpMethod.Get, target, null, deadline.Token);
            return (int)response.StatusCode;
        }
        catch (HttpRequestException e) when (e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionRefused or SocketError.AddressNotAvailable })
        {
            return IEngineClient.NobodyListens;
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            return null;
        }
        finally
        {
            await SocketThread.Leave();
        }
    }

    public async Task<ContainerInspect?> InspectContainerAsync(string id, CancellationToken cancel) =>
        (await GetContainerAsync(id, EngineJson.Default.ContainerInspect, cancel))?.Normalized() is { } container
            ? container with { Joined = container.HostConfig.NamesOfJoined(), Mounts = await WithHostPathsAsync(container.Mounts, cancel), HostConfig = await WithNamespacesAsync(container.HostConfig, cancel) } : null;

    public async Task<ContainerInspect?> GlanceAtContainerAsync(string id, CancellationToken cancel) =>
        await GetContainerAsync(id, EngineJson.Default.ContainerGlance, cancel) is { } container
            ? new() { Id = container.Id ?? "", Created = container.Created ?? "", State = container.State ?? new(), HostConfig = container.HostConfig ?? new() } : null;

    /// <summary>What others can let grow while it runs, the names that it has in networks and its execs, is not kept.</summary>
    Task<T?> GetContainerAsync<T>(string id, JsonTypeInfo<T> type, CancellationToken cancel) where T : class =>
        CallAsync(HttpMethod.Get, $"containers/{EnginePath.Segment(id)}/json", null, _options.CallDeadline, async (body, token) =>
        {
            using var selected = new BoundedStream(new SelectedMembers(body, type.Properties.Select(property => property.Name).ToHashSet()), _options.MaxAnswerBytes);
            using var answer = await _answers.ReadAsync(selected, json => JsonSerializer.Deserialize(json.Span, type), token);
            return answer.Value;
        }, _options.MaxSkimmedBytes, cancel);

    async Task<HostConfig> WithNamespacesAsync(HostConfig host, CancellationToken cancel) => host with
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
            if (await GetContainerAsync(mode[OfContainer.Length..], EngineJson.Default.ContainerInspect, cancel) is not { HostConfig: { } other }) break;
            mode = modeOf(other);
        }
        return mode;
    }

    async Task<IReadOnlyList<MountPoint>> WithHostPathsAsync(IReadOnlyList<MountPoint> mounts, CancellationToken cancel)
    {
        if (!mounts.Any(IsLocal)) return mounts;
        var found = new List<MountPoint>(mounts.Count);
        foreach (var mount in mounts)
            found.Add(IsLocal(mount) && await GetAsync($"volumes/{EnginePath.Segment(mount.Name!)}", EngineJson.Default.VolumeInspect, cancel) is { Options.Count: > 0 } volume
                ? mount with { HostPaths = LocalVolume.HostPaths(volume.Options) } : mount);
        return found;

        static bool IsLocal(MountPoint mount) => mount is { Type: "volume", Driver: LocalVolume.Driver, Name.Length: > 0 };
    }

    public async Task<IReadOnlyList<string>?> VolumeHostPathsAsync(string name, CancellationToken cancel) =>
        await GetAsync($"volumes/{EnginePath.Segment(name)}", EngineJson.Default.VolumeInspect, cancel) is { Driver: null or "" or LocalVolume.Driver, Options: var options } ? LocalVolume.HostPaths(options) : null;

    public Task<ExecInspect?> InspectExecAsync(string execId, CancellationToken cancel) => GetAsync($"exec/{EnginePath.Segment(execId)}/json", EngineJson.Default.ExecInspect, cancel);

    public async Task<ImageInspect?> InspectImageAsync(string name, CancellationToken cancel) =>
        await GetAsync($"images/{EnginePath.Segments(name)}/json", EngineJson.Default.ImageInspect, cancel) is { } image ? image with { Config = image.Config?.Normalized() } : null;

    public Task<IReadOnlyList<string>> ListRunningAsync(CancellationToken cancel) => ListAsync("containers/json", cancel);

    public Task<IReadOnlyList<string>> ListCreatedAsync(CancellationToken cancel) =>
        ListAsync($"containers/json?all=1&filters={Uri.EscapeDataString("""{"status":["created"]}""")}", cancel);

    /// <summary>The engine's own filter finds none where several begin so, and takes no pattern.</summary>
    public async Task<IReadOnlyList<string>> ListByPrefixAsync(string id, CancellationToken cancel) =>
        [.. (await ListAsync("containers/json?all=1", cancel)).Where(one => one.StartsWith(id, StringComparison.Ordinal))];

    async Task<IReadOnlyList<string>> ListAsync(string path, CancellationToken cancel) =>
        await CallAsync(HttpMethod.Get, path, null, _options.ListDeadline, async (response, token) =>
        {
            using var body = await response.Content.ReadAsStreamAsync(token);
            return await ContainerIds.ReadAsync(body, token);
        }, cancel) ?? [];

    public async Task<string?> PluginNameAsync(string pluginId, CancellationToken cancel) =>
        (await GetAsync($"plugins/{EnginePath.Segment(pluginId)}/json", EngineJson.Default.PluginInspect, cancel))?.Name;

    public async Task<IReadOnlyList<LostSource>> LostSourcesAsync(string pluginId, CancellationToken cancel)
    {
        var plugin = await GetAsync($"plugins/{EnginePath.Segment(pluginId)}/json", EngineJson.Default.PluginInspect, cancel);
        return [.. from set in plugin?.Settings?.Mounts ?? []
                   from mounted in plugin?.Config?.Mounts ?? []
                   where set is { Name: not null, Source: not null } && mounted?.Name == set.Name && mounted.Source is not null && mounted.Source != set.Source
                   select new LostSource(set.Name!, set.Source!, mounted.Source!)];
    }

    public async Task<string?> VolumeDriverAsync(string name, CancellationToken cancel)
    {
        // The engine takes the filter for a regular expression.
        var list = await GetAsync($"volumes?filters={Uri.EscapeDataString($$"""{"name":["^{{name.Replace(".", "[.]", StringComparison.Ordinal)}}$"]}""")}", EngineJson.Default.VolumeList, cancel);
        return list?.Volumes?.FirstOrDefault(volume => volume?.Name == name)?.Driver ?? (list is { Warnings: null or [] } ? "" : null);
    }

    public async Task<string?> NetworkNameAsync(string network, CancellationToken cancel) =>
        (await GetAsync($"networks/{EnginePath.Segment(network)}", EngineJson.Default.NetworkInspect, cancel))?.Name;

    public async Task<PreviousService?> PreviousServiceAsync(string service, CancellationToken cancel) =>
        await GetAsync($"services/{EnginePath.Segment(service)}", EngineJson.Default.ServiceInspect, cancel) is { } found
            ? new(found.Version?.Index ?? 0, found.PreviousSpec is { ValueKind: JsonValueKind.Object } spec ? JsonSerializer.SerializeToUtf8Bytes(spec, EngineJson.Default.JsonElement) : null) : null;

    public Task<byte[]?> GetArchiveAsync(string id, string path, int maxBytes, CancellationToken cancel) =>
        CallAsync(HttpMethod.Get, $"containers/{EnginePath.Segment(id)}/archive?path={Uri.EscapeDataString(path)}", null, _options.ArchiveDeadline,
            (body, token) => body.ReadAllAsync(token), maxBytes, cancel);

    public Task<PathStat?> StatAsync(string id, string path, CancellationToken cancel) =>
        CallAsync(HttpMethod.Head, $"containers/{EnginePath.Segment(id)}/archive?path={Uri.EscapeDataString(path)}", null, _options.ArchiveDeadline,
            (response, _) => Task.FromResult(ReadStat(response)), cancel);

    static PathStat? ReadStat(HttpResponseMessage response)
    {
        try
        {
            return response.Headers.TryGetValues("X-Docker-Container-Path-Stat", out var values)
                ? JsonSerializer.Deserialize(Convert.FromBase64String(values.First()), EngineJson.Default.PathStat) : throw new IOException("an answer without a path's stat");
        }
        catch (FormatException garbled)
        {
            throw new IOException("a garbled stat of a path", garbled);
        }
    }

    public Task PutArchiveAsync(string id, string directory, ReadOnlyMemory<byte> tar, CancellationToken cancel) =>
        CommandAsync(HttpMethod.Put, $"containers/{EnginePath.Segment(id)}/archive?path={Uri.EscapeDataString(directory)}",
            () => new ReadOnlyMemoryContent(tar) { Headers = { ContentType = new("application/x-tar") } }, _options.ArchiveDeadline, cancel);

    public Task StopContainerAsync(string id, TimeSpan grace, CancellationToken cancel) =>
        CommandAsync(HttpMethod.Post, string.Create(CultureInfo.InvariantCulture, $"containers/{EnginePath.Segment(id)}/stop?t={(int)grace.TotalSeconds}"), null, _options.StopDeadline, cancel);

    public Task RemoveContainerAsync(string id, CancellationToken cancel) =>
        CommandAsync(HttpMethod.Delete, $"containers/{EnginePath.Segment(id)}?v=1", null, _options.CallDeadline, cancel);

    public async Task<IAsyncEnumerable<EngineEvent>> WatchContainersAsync(CancellationToken cancel)
    {
        // The engine answers just before it subscribes; a little of the past closes that gap.
        var since = (_time.GetUtcNow() - _options.EventOverlap).ToUnixTimeMilliseconds();
        var path = string.Create(null, $"events?since={since / 1000}.{since % 1000:000}000000&filters={EventFilter}");
        using var deadline = Deadline(_options.CallDeadline, cancel);
        var response = await SendAsync(HttpMethod.Get, path, null, deadline.Token, cancel);
        if (response.StatusCode == HttpStatusCode.OK) return new EventStream(response, _options.MaxEventBytes, Forget);
        using (response) throw await FailureAsync("GET events", response, deadline.Token);
    }

    static readonly string EventFilter = Uri.EscapeDataString(
        """{"type":["container"],"event":["create","start","die","stop","destroy"]}""");

    Task<T?> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancel) where T : class =>
        CallAsync(HttpMethod.Get, path, null, _options.CallDeadline,
            async (body, token) =>
            {
                using var answer = await _answers.ReadAsync(body, json => JsonSerializer.Deserialize(json.Span, type), token);
                return answer.Value;
            }, _options.MaxAnswerBytes, cancel);

    async Task CommandAsync(HttpMethod method, string path, Func<HttpContent>? content, TimeSpan limit, CancellationToken cancel)
    {
        var done = await CallAsync(method, path, content, limit, (_, _) => Task.FromResult<object?>(true), _options.MaxAnswerBytes, cancel);
        if (done is null) throw new EngineException($"{method} {path}: no such object", 404);
    }

    Task<T?> CallAsync<T>(HttpMethod method, string path, Func<HttpContent>? content, TimeSpan limit,
        Func<BoundedStream, CancellationToken, Task<T?>> read, long maxBytes, CancellationToken cancel) where T : class =>
        CallAsync(method, path, content, limit, async (response, token) =>
        {
            using var body = new BoundedStream(await response.Content.ReadAsStreamAsync(token), maxBytes);
            return await read(body, token);
        }, cancel);

    /// <summary>One call with its deadline; 404 is null.</summary>
    async Task<T?> CallAsync<T>(HttpMethod method, string path, Func<HttpContent>? content, TimeSpan limit,
        Func<HttpResponseMessage, CancellationToken, Task<T?>> read, CancellationToken cancel) where T : class
    {
        using var deadline = Deadline(limit, cancel);
        try
        {
            using var response = await SendAsync(method, path, content, deadline.Token, cancel);
            if (response.StatusCode == HttpStatusCode.NotFound) return null;
            if ((int)response.StatusCode >= 300 && response.StatusCode != HttpStatusCode.NotModified) throw await FailureAsync($"{method} {path}", response, deadline.Token);
            return await read(response, deadline.Token);
        }
        catch (Exception e) when (e is IOException or JsonException or HttpRequestException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            throw new EngineException(e is OperationCanceledException
                ? $"{method} {path}: no answer from the engine within {limit.TotalSeconds:0.#} s" : $"{method} {path}: {e.Message}", null, e);
        }
        finally
        {
            await SocketThread.Leave();
        }
    }

    async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, Func<HttpContent>? content, CancellationToken deadline, CancellationToken cancel)
    {
        for (var again = false; ; again = true)
        {
            try
            {
                var version = _version ??= await NegotiateAsync(deadline);
                var response = await SendOnceAsync(method, $"v{version}/{path}", content?.Invoke(), deadline);
                if (again || response.StatusCode != HttpStatusCode.BadRequest || !await IsVersionRefusedAsync(response, deadline)) return response;
                response.Dispose();
                _version = null;
            }
            catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
            {
                Forget();
                throw new EngineException(e is OperationCanceledException
                    ? $"{method} {path}: no answer from the engine in time" : $"{method} {path}: {e.Message}", null, e);
            }
        }
    }

    async Task<string> NegotiateAsync(CancellationToken deadline)
    {
        using var response = await SendOnceAsync(HttpMethod.Get, "_ping", null, deadline);
        var said = response.Headers.TryGetValues("Api-Version", out var values) ? values.First() : "";
        if (!response.IsSuccessStatusCode || !Version.TryParse(said, out var engine))
            throw new EngineException("the engine does not say its API version", (int)response.StatusCode);
        if (engine < Oldest) throw new EngineException($"the engine's API version {engine} is older than {Oldest}");
        return (engine < Newest ? engine : Newest).ToString();
    }

    async Task<HttpResponseMessage> SendOnceAsync(HttpMethod method, string path, HttpContent? content, CancellationToken deadline)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        request.Headers.Add(OwnCalls.Header, _own.Secret);
        return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, deadline);
    }

    /// <summary>Whether a 400 means that the engine no longer speaks the version that was agreed. Buffers the answer, so that it can be read again.</summary>
    static async Task<bool> IsVersionRefusedAsync(HttpResponseMessage response, CancellationToken deadline)
    {
        var message = await MessageAsync(response, deadline);
        response.Content = new StringContent(message);
        return message.Contains("client version", StringComparison.Ordinal);
    }

    static async Task<EngineException> FailureAsync(string call, HttpResponseMessage response, CancellationToken deadline) =>
        new($"{call}: {LocalVolume.WithoutOptions(await MessageAsync(response, deadline))}", (int)response.StatusCode);

    static async Task<string> MessageAsync(HttpResponseMessage response, CancellationToken deadline)
    {
        using var body = new BoundedStream(await response.Content.ReadAsStreamAsync(deadline), 64 * 1024);
        var text = Encoding.UTF8.GetString(await body.ReadAllAsync(deadline) ?? []);
        try
        {
            return JsonSerializer.Deserialize(text, EngineJson.Default.EngineError)?.Message ?? text;
        }
        catch (JsonException)
        {
            return text.Length > 0 ? text : $"status {(int)response.StatusCode}";
        }
    }

    void Forget() => _version = null;

    static CancellationTokenSource Deadline(TimeSpan limit, CancellationToken cancel)
    {
        var source = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        source.CancelAfter(limit);
        return source;
    }

    static async ValueTask<Stream> ConnectAsync(string path, CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
