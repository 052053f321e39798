using Runai.GpuMemory;

var (settings, problems) = PluginSettings.Read(Environment.GetEnvironmentVariable);
if (problems.Count > 0)
{
    foreach (var problem in problems) Console.Error.WriteLine($"setting {problem}");
    return 2;
}

var builder = WebApplication.CreateSlimBuilder(args);
builder.Services.AddSingleton(settings);
builder.Logging.SetMinimumLevel(settings.LogLevel);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenUnixSocket(settings.Socket));
var app = builder.Build();
app.Run();
return 0;
