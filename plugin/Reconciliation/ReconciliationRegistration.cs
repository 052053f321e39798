namespace Runai.GpuMemory.Reconciliation;

public static class ReconciliationRegistration
{
    public static IServiceCollection AddReconciliation(this IServiceCollection services) => services
        .AddSingleton(new ReconciliationOptions())
        .AddSingleton<ContainerReconciler>()
        .AddHostedService<EarlyDelivery>()
        .AddHostedService<ReconciliationService>()
        .AddHostedService<UseWatch>();
}
