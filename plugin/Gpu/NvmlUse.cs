// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>As NVML lists them. It is opened for each reading and closed again, so that it keeps no GPU
/// awake.</summary>
sealed class NvmlUse(PluginSettings settings, IDriverNodes nodes) : IGpuUse
{
    public IReadOnlyList<GpuProcess> Read()
    {
        foreach (var library in NvmlInventory.Libraries(settings))
        {
            try
            {
                return ReadFrom(library);
            }
            catch (Exception e) when (NvmlInventory.IsUnusable(e))
            {
                // The inventory has said so.
            }
        }
        return [];
    }

    List<GpuProcess> ReadFrom(string library)
    {
        nodes.Provide();
        using var nvml = Nvml.Open(library);
        var found = new List<GpuProcess>();
        for (var index = 0; index < nvml.Count(); index++)
        {
            try
            {
                found.AddRange(
                    nvml.Processes(index, out var uuid).Select(one => new GpuProcess(one.Key, uuid, one.Value))
                );
            }
            catch (NvmlException)
            {
                // A GPU that is lost does not hide the others.
            }
        }
        return found;
    }
}
