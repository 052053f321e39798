// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection.Extensions;
using Runai.GpuMemory.Admission.Calls;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Preload;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission;

static class AdmissionRegistration
{
    /// <summary>Needs the settings, an engine client, the volume catalog, device nodes and the GPU inventory.</summary>
    public static IServiceCollection AddAdmission(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<SelfCalls>();
        services.TryAddSingleton<ChainProbe>();
        services.TryAddSingleton<Volumes.VolumeMakers>();
        services.TryAddSingleton<Volumes.VolumeLooks>();
        return services
            .AddSingleton<ContainerSpecMapper>()
            .AddSingleton<EngineDefaults>()
            .AddSingleton<CreateResolver>()
            .AddSingleton<DecisionCounts>()
            .AddSingleton<DecisionLog>()
            .AddSingleton<AllowedStarts>()
            .AddSingleton(provider => new PolicySource(
                Settings(provider).Policy,
                Path.Combine(Settings(provider).State, "admission", "policy.json"),
                provider.GetRequiredService<ILogger<PolicySource>>(),
                provider.GetRequiredService<TimeProvider>()
            ))
            .AddSingleton(provider => new OwnerStore(Path.Combine(Settings(provider).State, "admission", "owners")))
            .AddSingleton<GpuReservations>()
            .AddSingleton<StartCalls>()
            .AddSingleton<JudgedCalls>()
            .AddSingleton<NamesInMotion>()
            .AddSingleton<LeftBehind>()
            .AddSingleton<ContainerReach>()
            .AddSingleton<NamedVolumes>()
            .AddSingleton<ExecCalls>()
            .AddSingleton<VolumeCalls>()
            .AddSingleton<VolumeReads>()
            .AddSingleton<ServiceCalls>()
            .AddSingleton<BuildCalls>()
            .AddSingleton<ResourceCalls>()
            .AddSingleton<IGpuReservations>(provider => provider.GetRequiredService<GpuReservations>())
            .AddHostedService<PolicyWatcher>()
            .AddHostedService<OverdueStarts>()
            .AddSingleton<ImagePreloads>()
            .AddSingleton<PreloadInjector>()
            .AddSingleton<IPreloadInjector>(provider => provider.GetRequiredService<PreloadInjector>())
            .AddSingleton<IContainerJudge, ContainerJudge>()
            .AddSingleton<CreateGate>()
            .AddSingleton<StartGate>()
            .AddSingleton<IAuthorizer, Authorizer>();
    }

    static PluginSettings Settings(IServiceProvider provider) => provider.GetRequiredService<PluginSettings>();
}
