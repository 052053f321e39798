// SPDX-License-Identifier: Apache-2.0
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Protocol;

/// <summary>The protocol on a real Kestrel and a unix socket, over services that record what they are asked.</summary>
sealed class PluginUnderTest : IAsyncDisposable, IAuthorizer, IVolumeDriver
{
    readonly string _folder = Directory.CreateTempSubdirectory("plugin").FullName;
    readonly WebApplication _app;

    PluginUnderTest()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UsePluginSocket(Socket);
        builder.Services.AddSingleton<IAuthorizer>(this).AddSingleton<IVolumeDriver>(this);
        _app = builder.Build();
        _app.MapPluginActivate().MapAuthZPlugin().MapVolumeDriver();
    }

    public static async Task<PluginUnderTest> StartAsync()
    {
        var plugin = new PluginUnderTest();
        await plugin._app.StartAsync();
        return plugin;
    }

    /// <summary>The web server was told to end.</summary>
    public bool IsEnding => _app.Lifetime.ApplicationStopping.IsCancellationRequested;

    public Task StopAsync() => _app.StopAsync();

    public string Socket => Path.Combine(_folder, "gpu.sock");
    public List<string> Asked { get; } = [];
    public List<string> NotRead { get; } = [];
    public AuthZRequest? LastCall { get; private set; }

    /// <summary>What the services throw.</summary>
    public Exception? Bug { get; set; }
    public string? Refusal { get; set; }

    /// <summary>For what authorization waits, its bodies read.</summary>
    public Task? Engine { get; set; }

    /// <summary>What the services do before they answer.</summary>
    public Action? Work { get; set; }

    public bool NeedsDecision(string method, string uri) => Bug is null ? uri != "/_ping" : throw Bug;

    public bool MayBeDryRun(string method) => method == "POST";

    public AuthZAnswer Unread(string problem, string? method, string? uri)
    {
        lock (Asked)
            NotRead.Add($"{method} {uri}");
        return AuthZAnswer.Denied(problem);
    }

    public ValueTask<AuthZAnswer> BeforeAsync(AuthZRequest apiCall, CancellationToken cancel) =>
        Answer(apiCall, "before");

    public ValueTask<AuthZAnswer> AfterAsync(AuthZRequest apiCall, CancellationToken cancel) =>
        Answer(apiCall, "after");

    async ValueTask<AuthZAnswer> Answer(AuthZRequest apiCall, string when)
    {
        Note($"{when} {apiCall.RequestMethod} {apiCall.RequestUri}");
        LastCall = apiCall;
        if (Engine is { } engine)
        {
            apiCall.ReleaseBodies();
            await engine;
        }
        return (Refusal is null ? AuthZAnswer.Allowed : AuthZAnswer.Denied(Refusal));
    }

    public string? Create(string name, IReadOnlyDictionary<string, string> options)
    {
        Note($"create {name} {string.Join(',', options.Select(o => $"{o.Key}={o.Value}"))}");
        return Refusal;
    }

    public ValueTask<VolumeInfo?> DescribeAsync(string name, CancellationToken cancel) =>
        new(
            name == "runai"
                ? DescribeAll()[0] with
                {
                    Status = new RawJson("""{"gpu-memory":"0.5","Time":null}"""u8.ToArray()),
                }
                : null
        );

    public IReadOnlyList<VolumeInfo> DescribeAll() => [new("runai", "/var/lib/runai/v", DateTimeOffset.UnixEpoch)];

    public MountResult? FindPath(string name) =>
        name switch
        {
            "runai" => MountResult.Mounted("/var/lib/runai/v"),
            "runai-status" => MountResult.Failed("it is read"),
            _ => null,
        };

    public Task<MountResult> MountAsync(string name, string id, CancellationToken cancel)
    {
        Note($"mount {name} {id}");
        return Task.FromResult(
            Refusal is null ? MountResult.Mounted("/var/lib/runai/" + id) : MountResult.Failed(Refusal)
        );
    }

    public Task<string?> UnmountAsync(string name, string id, CancellationToken cancel)
    {
        Note($"unmount {name} {id}");
        return Task.FromResult(Refusal);
    }

    public string? Remove(string name)
    {
        Note($"remove {name}");
        return Refusal;
    }

    void Note(string what)
    {
        lock (Asked)
            Asked.Add(what);
        Work?.Invoke();
        if (Bug is not null)
            throw Bug;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }
}
