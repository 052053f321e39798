// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>Works out which of the host's GPUs a container will see.</summary>
static class VisibleGpus
{
    /// <summary>The GPUs that it will certainly see; null when that is unknown before it runs, as it is for a part of a
    /// GPU (MIG).</summary>
    public static IReadOnlyList<GpuDevice>? Of(GpuSelection selection, IReadOnlyList<GpuDevice> gpus)
    {
        if (selection.Ids.Count == 0)
            return selection.Count switch
            {
                < 0 => gpus,
                0 => null,
                _ => [.. gpus.Take((int)Math.Min(selection.Count, gpus.Count))],
            };
        var seen = new List<GpuDevice>();
        foreach (var id in selection.Ids)
        {
            if (Find(id, gpus) is not { } gpu)
                return null;
            if (!seen.Contains(gpu))
                seen.Add(gpu);
        }
        return seen;
    }

    static GpuDevice? Find(string id, IReadOnlyList<GpuDevice> gpus)
    {
        if (int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var index))
            return gpus.FirstOrDefault(g => g.Index == index);
        var matches = id.StartsWith("GPU-", StringComparison.OrdinalIgnoreCase)
            ? gpus.Where(g => g.Uuid.StartsWith(id, StringComparison.OrdinalIgnoreCase)).Take(2).ToArray()
            : [];
        return matches.Length == 1 ? matches[0] : null;
    }
}
