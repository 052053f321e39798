// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>NVIDIA's container toolkit on the host: its version, and a key of its configuration that gives GPUs which
/// the plugin does not see.</summary>
sealed class ToolkitCheck(PluginSettings settings) : ICheck
{
    static readonly Version FixesTimeOfCheck = new(1, 16, 2),
        FixesHooks = new(1, 17, 8);

    /// <summary>Variables that the plugin takes for a way to a GPU.</summary>
    const string KnownVariables = "DOCKER_RESOURCE_";

    readonly ToolkitVersion _version = new(settings.Driver);
    readonly string[] _configurations =
    [
        Path.Combine(settings.Etc, "nvidia-container-runtime/config.toml"),
        Path.Combine(settings.Driver, "local/nvidia/toolkit/.config/nvidia-container-runtime/config.toml"),
    ];

    public IEnumerable<Problem> Find(EngineInfo? engine)
    {
        if (_version.Find() is { } version && version < FixesHooks)
            yield return new(
                "toolkit",
                null,
                $"NVIDIA's container toolkit {version} lets an image take over the host "
                    + (version < FixesTimeOfCheck ? "(CVE-2024-0132, CVE-2025-23266)" : "(CVE-2025-23266)"),
                $"upgrade the package nvidia-container-toolkit to {FixesHooks} or later"
            );
        if (
            _configurations.Select(ToolkitConfiguration.SwarmResource).FirstOrDefault(one => one is not null)
                is { } names
            && names
                .Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
                .FirstOrDefault(name => !name.StartsWith(KnownVariables, StringComparison.Ordinal))
                is { } variable
        )
            yield return new(
                "toolkit",
                null,
                $"the variable {Quoted.Text(variable)} gives containers GPUs that the plugin does not see: "
                    + "swarm-resource in NVIDIA's config.toml names it",
                $"name a variable that begins with {KnownVariables} there, in "
                    + "/etc/nvidia-container-runtime/config.toml, or remove the key"
            );
    }
}
