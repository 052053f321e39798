// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Reconciliation;

static class ReconciliationRegistration
{
    public static IServiceCollection AddReconciliation(this IServiceCollection services) =>
        services
            .AddSingleton(new ReconciliationOptions())
            .AddSingleton<IPrograms, ProcPrograms>()
            .AddSingleton<ContainerReconciler>()
            .AddHostedService<EarlyDelivery>()
            .AddHostedService<ReconciliationService>()
            .AddHostedService<UseWatch>();
}
