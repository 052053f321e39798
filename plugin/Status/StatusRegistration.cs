// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Status.Checks;
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
            .AddSingleton<ICheck, RuntimeCheck>()
            .AddSingleton<ICheck, BuilderCheck>()
            .AddSingleton<ICheck, ToolkitCheck>()
            .AddSingleton<ICheck, DriverCheck>()
            .AddSingleton<ICheck, DeviceLinkCheck>()
            .AddSingleton<ICheck, SpaceCheck>()
            .AddSingleton<ICheck, SandboxCheck>()
            .AddSingleton<ICheck, ProgramCheck>()
            .AddSingleton<ICheck, ShimCheck>()
            .AddSingleton<Checkup>()
            .AddSingleton<ProblemLog>()
            // The host's first: a list that is too long ends among the containers.
            .AddSingleton<IProblemSource, HostProblems>()
            .AddSingleton<IProblemSource, MpsProblems>()
            .AddSingleton<IProblemSource>(provider => provider.GetRequiredService<Checkup>())
            .AddSingleton<IProblemSource, ContainerProblems>()
            .AddSingleton<IStatusSource, StatusReports>();
}
