namespace Runai.GpuMemory.Gpu;

/// <summary>Gives NVML the driver's device nodes where it looks for them.</summary>
public interface IDriverNodes
{
    void Provide();
}

/// <summary>The plugin's own /dev does not have the host's nodes; links to them do.</summary>
public sealed class DriverNodes(PluginSettings settings) : IDriverNodes
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
