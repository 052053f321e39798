// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Volumes;

static class VolumeRegistration
{
    /// <summary>Registers this folder. The first use reads what an earlier process left on disk; the guards begin when
    /// the host starts.</summary>
    public static IServiceCollection AddVolumes(this IServiceCollection services) =>
        services
            .AddSingleton<StateLayout>()
            .AddSingleton<VolumeMakers>()
            .AddSingleton<VolumeLooks>()
            .AddSingleton<IMountTable, ProcMountTable>()
            .AddSingleton<IProcessCgroups, ProcCgroups>()
            .AddSingleton<PluginIdentity>()
            .AddSingleton<IHostView, HostView>()
            .AddSingleton<ShimStore>()
            .AddSingleton<IShimWatch, ShimWatch>()
            .AddSingleton<IContainerMounts, ContainerMounts>()
            .AddSingleton<ReferenceTable>()
            .AddSingleton<PrivateDirectories>()
            .AddSingleton<IPrivateDirectories>(provider => provider.GetRequiredService<PrivateDirectories>())
            .AddSingleton(provider => Restored(ActivatorUtilities.CreateInstance<Activations>(provider)))
            .AddSingleton<IActivations>(provider => provider.GetRequiredService<Activations>())
            .AddSingleton(provider =>
                Loaded(
                    new VolumeCatalog(
                        provider.GetRequiredService<StateLayout>(),
                        provider.GetRequiredService<PluginIdentity>(),
                        provider.GetRequiredService<ILogger<VolumeCatalog>>(),
                        provider.GetRequiredService<VolumeMakers>()
                    )
                    {
                        MaxVolumes = () => provider.GetRequiredService<PolicySource>().Current.MaxVolumes,
                    }
                )
            )
            .AddSingleton<IVolumeCatalog>(provider => provider.GetRequiredService<VolumeCatalog>())
            .AddSingleton<IVolumeDriver, VolumeDriver>()
            .AddSingleton<ChainGuard>()
            .AddSingleton<IChainState>(provider => provider.GetRequiredService<ChainGuard>())
            .AddSingleton<IMountGuard>(provider => provider.GetRequiredService<ChainGuard>())
            .AddHostedService(provider => provider.GetRequiredService<ChainGuard>())
            .AddHostedService<HostWatch>()
            .AddHostedService<DirectoryCollector>();

    static Activations Restored(Activations activations)
    {
        activations.Restore();
        return activations;
    }

    static VolumeCatalog Loaded(VolumeCatalog catalog)
    {
        catalog.Load();
        return catalog;
    }
}
