using System.Collections.Concurrent;
using System.Text.Json;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Volumes;

/// <summary>A volume as its file has it.</summary>
sealed record StoredVolume(string Name, string? GpuMemory);

/// <summary>The volumes, in memory and one small file each.</summary>
public sealed class VolumeCatalog(StateLayout layout, PluginIdentity identity, ILogger<VolumeCatalog> log) : IVolumeCatalog
{
    /// <summary>The volume that is always there, and has no quota of its own.</summary>
    public const string Everyone = "runai";

    readonly ConcurrentDictionary<string, QuotaVolume> _volumes = new(StringComparer.Ordinal) { [Everyone] = new(Everyone, null) };
    readonly Lock _lock = new();

    public QuotaVolume? Find(string name) => _volumes.GetValueOrDefault(name);
    public IReadOnlyList<QuotaVolume> List() => [.. _volumes.Values.OrderBy(volume => volume.Name, StringComparer.Ordinal)];

    public bool Owns(MountPoint mount)
    {
        if (mount.Type != "volume" || mount.Name is null) return false;
        if (identity.Name is not null) return IsThisDriver(mount.Driver ?? "");
        return mount.Driver is not (null or "" or "local") && _volumes.ContainsKey(mount.Name);
    }

    public bool IsThisDriver(string driver) => identity.IsMe(driver);

    /// <summary>Reads what was made before.</summary>
    public void Load()
    {
        layout.Prepare();
        foreach (var path in Directory.EnumerateFiles(layout.Volumes, "*.json"))
        {
            if (Read(path) is { } volume && volume.Name != Everyone) _volumes[volume.Name] = new(volume.Name, volume.GpuMemory);
            else log.VolumeUnreadable(path);
        }
    }

    /// <summary>A success when the volume exists with the same option.</summary>
    public string? Add(QuotaVolume volume)
    {
        lock (_lock)
        {
            if (Find(volume.Name) is { } there)
                return there == volume ? null : $"volume {volume.Name} exists already {With(there)}, and was now to be made {With(volume)}: take another name";
            if (Path.GetFileName(layout.Volume(volume.Name)).Length > 200) return $"the volume's name is too long: {volume.Name[..32]}…";
            StateLayout.WriteFile(layout.Volume(volume.Name),
                JsonSerializer.SerializeToUtf8Bytes(new StoredVolume(volume.Name, volume.GpuMemory), StateJson.Default.StoredVolume), FileModes.Owner);
            _volumes[volume.Name] = volume;
            return null;
        }
    }

    /// <summary>The volume <c>runai</c> stays.</summary>
    public void Remove(string name)
    {
        lock (_lock)
        {
            if (name == Everyone || !_volumes.TryRemove(name, out _)) return;
            File.Delete(layout.Volume(name));
        }
    }

    static string With(QuotaVolume volume) => volume.GpuMemory is null ? "without gpu-memory" : $"with gpu-memory={volume.GpuMemory}";

    static StoredVolume? Read(string path)
    {
        try
        {
            var volume = JsonSerializer.Deserialize(File.ReadAllBytes(path), StateJson.Default.StoredVolume);
            return string.IsNullOrEmpty(volume?.Name) ? null : volume;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
