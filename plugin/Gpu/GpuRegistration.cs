// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

static class GpuRegistration
{
    /// <summary>Registers this folder. NVML is not opened before its first use.</summary>
    public static IServiceCollection AddGpu(this IServiceCollection services) =>
        services
            .AddSingleton<IDriverNodes, DriverNodes>()
            .AddSingleton<IGpuInventory, NvmlInventory>()
            .AddSingleton<NvmlUse>()
            .AddSingleton<IGpuUse>(provider => provider.GetRequiredService<NvmlUse>())
            .AddSingleton<IGpuMeter>(provider => provider.GetRequiredService<NvmlUse>())
            .AddSingleton<IDeviceNodes, DeviceNodes>();
}
