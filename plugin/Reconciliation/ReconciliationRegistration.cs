// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Reconciliation;

static class ReconciliationRegistration
{
    /// <summary>Registers this folder. Its services begin when the host starts.</summary>
    public static IServiceCollection AddReconciliation(this IServiceCollection services) =>
        services
            .AddSingleton(new ReconciliationOptions())
            .AddSingleton<IPrograms, ProcPrograms>()
            .AddSingleton<RunningContainers>()
            .AddSingleton<IDeviceRules>(provider => new DeviceRules(
                new ControlGroupTree(provider.GetRequiredService<PluginSettings>().Stage + "-groups").Find
            ))
            .AddSingleton<LostGpus>()
            .AddSingleton<ContainerReconciler>()
            .AddHostedService<EarlyDelivery>()
            .AddHostedService<ReconciliationService>()
            .AddHostedService<UseWatch>()
            .AddHostedService(provider => provider.GetRequiredService<LostGpus>());
}
