namespace Runai.GpuMemory.Gpu;

/// <summary>What a process has on a GPU by the driver's count.</summary>
/// <param name="Pid">In the host's PID namespace.</param>
/// <param name="Uuid">The GPU.</param>
/// <param name="Bytes">Of its memory.</param>
public sealed record GpuProcess(int Pid, string Uuid, long Bytes);

/// <summary>Who uses the host's GPUs.</summary>
public interface IGpuUse
{
    /// <summary>Empty where NVML does not tell. May take as long as the driver does.</summary>
    IReadOnlyList<GpuProcess> Read();
}

/// <summary>As NVML lists them. It is opened for each reading and closed again, so that it keeps no GPU
/// awake.</summary>
public sealed class NvmlUse(PluginSettings settings, IDriverNodes nodes) : IGpuUse
{
    public IReadOnlyList<GpuProcess> Read()
    {
        foreach (var library in NvmlInventory.Libraries(settings))
        {
            try
            {
                return ReadFrom(library);
            }
            catch (Exception e)
                when (e
                        is NvmlException
                            or DllNotFoundException
                            or BadImageFormatException
                            or EntryPointNotFoundException
                )
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
