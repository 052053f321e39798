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
public abstract class AuthorizerFixture
{
    protected const string Id = "0123456789abcdef";
    protected const string Good =
        """{"Image":"debian","Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"Count":1}]}}""";
    private protected FakeEngine _engine = null!;
    private protected LineLog _log = null!;
    private protected ServiceProvider _services = null!;
    private protected IAuthorizer _authorizer = null!;
    private protected string _folder = null!;

    [SetUp]
    public void Start()
    {
        _folder = Directory.CreateTempSubdirectory("admission").FullName;
        _engine = new();
        _log = new();
        _services = new ServiceCollection()
            .AddLogging(logging => logging.AddProvider(_log).SetMinimumLevel(LogLevel.Information))
            .AddSingleton(new PluginSettings { State = _folder, Policy = Path.Combine(_folder, "gpu-memory.json") })
            .AddSingleton<IEngineClient>(_engine)
            .AddSingleton<IVolumeCatalog, FakeVolumes>()
            .AddSingleton<IDeviceNodes, FakeNodes>()
            .AddSingleton<IGpuInventory, FakeGpus>()
            .AddAdmission()
            .BuildServiceProvider();
        _authorizer = _services.GetRequiredService<IAuthorizer>();
    }

    [TearDown]
    public void Stop()
    {
        _services.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private protected static AuthZRequest Call(string method, string uri, string? body = null, string user = "") =>
        new()
        {
            RequestMethod = method,
            RequestUri = uri,
            RequestBody = body is null ? null : Encoding.UTF8.GetBytes(body),
            User = user,
            RequestHeaders = new Dictionary<string, string>(),
        };

    private protected static AuthZRequest Created(
        string body,
        int status = 201,
        string answer = $$"""{"Id":"{{Id}}","Warnings":[]}"""
    ) =>
        Call("POST", "/v1.41/containers/create", body) with
        {
            ResponseStatusCode = status,
            ResponseBody = Encoding.UTF8.GetBytes(answer),
        };

    private protected async Task<string> BeforeAsync(AuthZRequest call) =>
        await _authorizer.BeforeAsync(call, CancellationToken.None) is { Allow: false } denial ? denial.Msg : "allowed";

    protected void Have(string label, string status = "created", string? driver = "runai/gpu-memory:latest") =>
        _engine.Containers[Id] = new()
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
