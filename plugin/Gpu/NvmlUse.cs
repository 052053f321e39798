// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>As NVML lists them. It is opened for each reading and closed again, so that it keeps no GPU
/// awake.</summary>
sealed class NvmlUse(PluginSettings settings, IDriverNodes nodes, TimeProvider time) : IGpuUse, IGpuMeter
{
    /// <summary>The driver samples some times a second.</summary>
    static readonly TimeSpan BusyWindow = TimeSpan.FromSeconds(2);

    public IReadOnlyList<GpuProcess> Read() =>
        [.. ReadEach((nvml, index, uuid) => Processes(nvml, index, uuid)).SelectMany(processes => processes)];

    public IReadOnlyList<GpuReading> ReadAll() =>
        ReadEach(
            (nvml, index, uuid) =>
                new GpuReading(
                    uuid,
                    Try<long?>(() => nvml.Used(index)),
                    Try(() => Processes(nvml, index, uuid)),
                    nvml.Percents(index, time.GetUtcNow() - BusyWindow)
                )
        );

    /// <summary>Of each GPU that answers, by the first library that works.</summary>
    List<T> ReadEach<T>(Func<Nvml, int, string, T> read)
    {
        foreach (var library in NvmlInventory.Libraries(settings))
        {
            try
            {
                return ReadFrom(library, read);
            }
            catch (Exception e) when (NvmlInventory.IsUnusable(e))
            {
                // The inventory has said so.
            }
        }
        return [];
    }

    List<T> ReadFrom<T>(string library, Func<Nvml, int, string, T> read)
    {
        nodes.Provide();
        using var nvml = Nvml.Open(library);
        var found = new List<T>();
        for (var index = 0; index < nvml.Count(); index++)
        {
            try
            {
                found.Add(read(nvml, index, nvml.Uuid(index)));
            }
            catch (NvmlException)
            {
                // A GPU that is lost does not hide the others.
            }
        }
        return found;
    }

    static IReadOnlyList<GpuProcess> Processes(Nvml nvml, int index, string uuid) =>
        [.. nvml.Processes(index).Select(one => new GpuProcess(one.Key, uuid, one.Value))];

    /// <summary>Null where this driver has no such figure.</summary>
    static T? Try<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is NvmlException or EntryPointNotFoundException)
        {
            return default;
        }
    }
}
