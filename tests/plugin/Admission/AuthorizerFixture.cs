// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using NUnit.Framework;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Admission;

/// <summary>The authorizer as the plugin has it, over an engine in memory with one container that a test
/// describes.</summary>
abstract class AuthorizerFixture
{
    protected const string Id = "0123456789abcdef";
    protected const string Good =
        """{"Image":"debian","Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"Count":1}]}}""";
    protected FakeEngine Engine = null!;
    protected LineLog Log = null!;
    protected ServiceProvider Services = null!;
    protected IAuthorizer Authorizer = null!;
    protected string Folder = null!;

    [SetUp]
    public void Start()
    {
        Folder = Directory.CreateTempSubdirectory("admission").FullName;
        Engine = new();
        Log = new();
        Services = new ServiceCollection()
            .AddLogging(logging => logging.AddProvider(Log).SetMinimumLevel(LogLevel.Information))
            .AddSingleton(new PluginSettings { State = Folder, Policy = Path.Combine(Folder, "gpu-memory.json") })
            .AddSingleton<IEngineClient>(Engine)
            .AddSingleton<IVolumeCatalog, FakeVolumes>()
            .AddSingleton<IDeviceNodes, FakeNodes>()
            .AddSingleton<IGpuInventory, FakeGpus>()
            .AddAdmission()
            .BuildServiceProvider();
        Authorizer = Services.GetRequiredService<IAuthorizer>();
    }

    [TearDown]
    public void Stop()
    {
        Services.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    protected static AuthZRequest Call(string method, string uri, string? body = null, string user = "") =>
        new()
        {
            RequestMethod = method,
            RequestUri = uri,
            RequestBody = body is null ? null : Encoding.UTF8.GetBytes(body),
            User = user,
            RequestHeaders = new Dictionary<string, string>(),
        };

    protected static AuthZRequest Created(
        string body,
        int status = 201,
        string answer = $$"""{"Id":"{{Id}}","Warnings":[]}"""
    ) =>
        Call("POST", "/v1.41/containers/create", body) with
        {
            ResponseStatusCode = status,
            ResponseBody = Encoding.UTF8.GetBytes(answer),
        };

    protected async Task<string> BeforeAsync(AuthZRequest call) =>
        await Authorizer.BeforeAsync(call, CancellationToken.None) is { Allow: false } denial ? denial.Msg : "allowed";

    protected void Have(string label, string status = "created", string? driver = "runai/gpu-memory:latest") =>
        Engine.Containers[Id] = new()
        {
            Id = Id,
            Name = "/web",
            State = new() { Status = status },
            Config = new()
            {
                Image = "debian",
                Labels = label == "" ? null : new Dictionary<string, string> { ["gpu-memory"] = label },
            },
            Mounts = driver is null
                ? []
                :
                [
                    new()
                    {
                        Type = "volume",
                        Name = "runai",
                        Driver = driver,
                        Destination = "/runai",
                    },
                ],
        };
}

/// <summary>Keeps what is logged.</summary>
sealed class LineLog : ILoggerProvider, ILogger
{
    public List<string> Lines { get; } = [];

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel,
        EventId eventId,
        TState state,
        Exception? exception,
        Func<TState, Exception?, string> formatter
    ) => Lines.Add(formatter(state, exception));

    public void Dispose() { }
}
