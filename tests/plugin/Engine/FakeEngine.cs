// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Engine;

/// <summary>An engine on a unix socket whose answers the test writes, by method and path without the version.</summary>
sealed class FakeEngine : IAsyncDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("engine").FullName;
    readonly ConcurrentDictionary<string, RequestDelegate> _answers = new();
    readonly CancellationTokenSource _stop = new();
    WebApplication? _app;

    public string Socket => Path.Combine(_folder, "docker.sock");
    public string ApiVersion { get; set; } = "1.41";

    /// <summary>Requests as they came: method and target as on the wire.</summary>
    public ConcurrentQueue<string> Calls { get; } = [];
    public ConcurrentQueue<Dictionary<string, string>> Headers { get; } = [];
    public SelfCalls Own { get; } = new();

    /// <summary>Runs before a ping with a query is answered.</summary>
    public RequestDelegate? OnPing { get; set; }

    /// <summary>The same for a look at a container without a version in its path, which is answered with 404.</summary>
    public RequestDelegate? OnLook { get; set; }

    /// <summary>Ends with the test: for answers that never come.</summary>
    public CancellationToken Stopped => _stop.Token;

    public static async Task<FakeEngine> StartAsync()
    {
        var engine = new FakeEngine();
        await engine.UpAsync();
        return engine;
    }

    public async Task UpAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenUnixSocket(Socket));
        builder.WebHost.UseShutdownTimeout(TimeSpan.FromMilliseconds(50));
        _app = builder.Build();
        _app.Run(AnswerAsync);
        await _app.StartAsync();
    }

    public async Task DownAsync()
    {
        if (_app is not null)
            await _app.DisposeAsync();
        File.Delete(Socket);
    }

    public EngineClient Client(Func<EngineClientOptions, EngineClientOptions>? change = null)
    {
        var options = new EngineClientOptions(Socket);
        return new EngineClient(change?.Invoke(options) ?? options, Own, TimeProvider.System);
    }

    public FakeEngine On(string call, RequestDelegate answer)
    {
        _answers[call] = answer;
        return this;
    }

    public FakeEngine On(string call, string json, int status = 200) =>
        On(
            call,
            async http =>
            {
                http.Response.StatusCode = status;
                http.Response.ContentType = "application/json";
                await http.Response.WriteAsync(json);
            }
        );

    async Task AnswerAsync(HttpContext http)
    {
        Calls.Enqueue($"{http.Request.Method} {http.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget}");
        Headers.Enqueue(http.Request.Headers.ToDictionary(one => one.Key, one => one.Value.ToString()));
        var path = http.Request.Path.Value!;
        if (path == "/_ping")
        {
            if (OnPing is not null && http.Request.QueryString.HasValue)
                await OnPing(http);
            http.Response.Headers["Api-Version"] = ApiVersion;
            await http.Response.WriteAsync("OK");
            return;
        }
        if (path.StartsWith("/containers/", StringComparison.Ordinal))
        {
            http.Response.StatusCode = 404;
            if (OnLook is not null)
                await OnLook(http);
            return;
        }
        var end = path.IndexOf('/', 1);
        var version = Version.Parse(path[2..end]);
        if (version > Version.Parse(ApiVersion))
        {
            http.Response.StatusCode = 400;
            await http.Response.WriteAsync(
                $$"""{"message":"client version {{version}} is too new. Maximum supported API version is {{ApiVersion}}"}"""
            );
        }
        else if (_answers.TryGetValue($"{http.Request.Method} {path[end..]}", out var answer))
            await answer(http);
        else
        {
            http.Response.StatusCode = 404;
            await http.Response.WriteAsync("""{"message":"no such object"}""");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await DownAsync();
        Directory.Delete(_folder, recursive: true);
    }
}
