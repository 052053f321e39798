// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Logging;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Status;
using Runai.GpuMemory.Volumes;

#pragma warning disable RS0030 // the commands, and what is said before there is a log
ProcessPriority.Raise();
if (args is ["policy", ..])
    return PolicyCommand.Run(args.AsSpan(1), Console.Out, Console.Error);

var types = StaticState.Initialize();
var (settings, problems) = PluginSettings.Read(Environment.GetEnvironmentVariable);
if (problems.Count > 0)
{
    foreach (var problem in problems)
        Console.Error.WriteLine($"{LogLine.Prefix} error: setting {problem}");
    return 2;
}
#pragma warning restore RS0030

// Nothing by default: the other builders watch the working folder for settings files, and here that is / with the
// host's /usr and /proc in it.
var builder = WebApplication.CreateEmptyBuilder(
    new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory }
);
builder
    .Logging.ClearProviders()
    .SetMinimumLevel(settings.LogLevel)
    .AddFilter("Microsoft", LogLevel.Warning)
    .AddFilter("System", LogLevel.Warning)
    .AddProvider(PluginLog.ToEngine());
builder.WebHost.UsePluginSocket(settings.Socket);
builder
    .Services.AddRoutingCore()
    .AddSingleton(settings)
    .AddSingleton(TimeProvider.System)
    .AddEngine()
    .AddGpu()
    .AddVolumes()
    .AddAdmission()
    .AddReconciliation()
    .AddStatus()
    .AddHostedService<MemoryTrimmer>()
    .AddHostedService<Watchdog>();

var app = builder.Build();
PluginVersion.LogStart(app.Logger, PluginVersion.Text);
StaticState.LogInitialized(app.Logger, types);
app.MapPluginActivate();
app.MapAuthZPlugin();
app.MapVolumeDriver();
app.Run();
return 0;
