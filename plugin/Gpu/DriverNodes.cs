// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>The plugin's own /dev does not have the host's nodes; links to them do.</summary>
sealed class DriverNodes(PluginSettings settings) : IDriverNodes
{
    public void Provide()
    {
        if (settings.Devices == "/dev" || !Directory.Exists(settings.Devices))
            return;
        foreach (var node in Directory.EnumerateFiles(settings.Devices, "nvidia*"))
        {
            var here = Path.Combine("/dev", Path.GetFileName(node));
            if (!Path.Exists(here))
                File.CreateSymbolicLink(here, node);
        }
    }
}
