// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

static class EngineRegistration
{
    /// <summary>Registers this folder, for the engine at <see cref="PluginSettings.EngineSocket"/>. The first call
    /// connects.</summary>
    public static IServiceCollection AddEngine(this IServiceCollection services) =>
        services
            .AddSingleton<SelfCalls>()
            .AddSingleton<ChainProbe>()
            .AddSingleton(provider => new EngineClientOptions(
                provider.GetRequiredService<PluginSettings>().EngineSocket
            ))
            .AddSingleton<IEngineClient, EngineClient>();
}
