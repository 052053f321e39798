using Microsoft.Extensions.DependencyInjection.Extensions;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission;

public static class AdmissionRegistration
{
    /// <summary>Needs an engine client, the volume catalog, device nodes and the GPU inventory.</summary>
    public static IServiceCollection AddAdmission(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<OwnCalls>();
        return services
            .AddSingleton<ContainerSpecs>()
            .AddSingleton<EngineDefaults>()
            .AddSingleton<DecisionLog>()
            .AddSingleton<PreloadInjector>()
            .AddSingleton<IPreloadInjector>(provider => provider.GetRequiredService<PreloadInjector>())
            .AddSingleton<IContainerJudge, ContainerJudge>()
            .AddSingleton<IAuthorizer, Authorizer>();
    }
}
