// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Status;

static class StatusRegistration
{
    /// <summary>Registers this folder. Nothing is measured before a volume is looked at.</summary>
    public static IServiceCollection AddStatus(this IServiceCollection services) =>
        services
            .AddSingleton<IRefusals, RefusalFiles>()
            .AddSingleton<UseMeter>()
            .AddSingleton<ContainerRows>()
            .AddSingleton<IProblemSource, HostProblems>()
            .AddSingleton<IProblemSource, ContainerProblems>()
            .AddSingleton<IStatusSource, StatusReports>();
}
