// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Text.Json;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Volumes;

/// <summary>The volumes, in memory and one small file each.</summary>
sealed partial class VolumeCatalog(
    StateLayout layout,
    PluginIdentity identity,
    ILogger<VolumeCatalog> log,
    VolumeMakers? makers = null
) : IVolumeCatalog
{
    /// <summary>The volume that is always there, and has no quota of its own.</summary>
    public const string Everyone = "runai";

    readonly ConcurrentDictionary<string, QuotaVolume> _volumes = new(StringComparer.Ordinal)
    {
        [Everyone] = new(Everyone, null),
    };

    /// <summary>No policy allows more, and no more are loaded: earlier versions had no bound.</summary>
    public const int Ceiling = 10_000;

    readonly Lock _lock = new();

    /// <summary>There are files that were not loaded.</summary>
    bool _hasMore;

    /// <summary>How many there may be beside <c>runai</c>, by the policy in force.</summary>
    public Func<int> MaxVolumes { get; init; } = () => Ceiling;

    public QuotaVolume? Find(string name) =>
        _volumes.GetValueOrDefault(name) ?? (_hasMore && VolumeName.FindProblem(name) is null ? FindFile(name) : null);

    public IReadOnlyList<QuotaVolume> List() =>
        [.. _volumes.Values.OrderBy(volume => volume.Name, StringComparer.Ordinal)];

    public bool Owns(MountPoint mount)
    {
        if (mount.Type != "volume" || mount.Name is null)
            return false;
        if (identity.Name is not null)
            return IsThisDriver(mount.Driver ?? "");
        return mount.Driver is not (null or "" or "local") && _volumes.ContainsKey(mount.Name);
    }

    public string DriverName => identity.DisplayName;

    public bool IsThisDriver(string driver) => identity.IsThisPlugin(driver);

    /// <summary>Reads what was made before.</summary>
    public void Load()
    {
        layout.Prepare();
        foreach (var path in Directory.EnumerateFiles(layout.Volumes, "*.json"))
        {
            if (_volumes.Count > Ceiling)
            {
                _hasMore = true;
                LogTooManyVolumes(log, Ceiling, layout.Volumes);
                break;
            }
            if (FromFile(path) is not { } volume)
                continue;
            if (!VolumeName.IsReachable(volume.Name))
                Drop(path, volume.Name);
            else
                _volumes[volume.Name] = volume;
        }
        foreach (var path in Directory.EnumerateFiles(layout.Volumes, "*~"))
            File.Delete(path); // of a process that was killed
        if (_volumes[Everyone].CreatedAt == default)
            Write(new(Everyone, null)); // its time is when the plugin was installed
    }

    /// <summary>Damaged where the file does not say what it should. Null for a file that is no volume's, and for
    /// <c>runai</c>, of which nothing is lost.</summary>
    QuotaVolume? FromFile(string path)
    {
        var name = StateLayout.NameOf(Path.GetFileNameWithoutExtension(path));
        var createdAt = new DateTimeOffset(File.GetLastWriteTimeUtc(path));
        if (
            Read(path) is { } stored
            && stored.Name == name
            && (stored.GpuMemory is null || GpuMemoryQuota.TryParse(stored.GpuMemory, out _, out _))
        )
            return new(stored.Name, stored.Name == Everyone ? null : stored.GpuMemory)
            {
                CreatedAt = createdAt,
                Owner = stored.Owner,
            };
        LogVolumeUnreadable(log, path);
        return name is null or Everyone ? null : new(name, null) { CreatedAt = createdAt, IsDamaged = true };
    }

    /// <summary>From here on it is listed: who looks in the engine's list for what is used finds it.</summary>
    QuotaVolume? FindFile(string name)
    {
        lock (_lock)
        {
            var path = layout.Volume(name);
            if (!File.Exists(path) || FromFile(path) is not { } found)
                return null;
            if (_volumes.Count < 2 * Ceiling)
                _volumes[name] = found;
            return found;
        }
    }

    /// <summary>Versions before 0.2.0 took any name.</summary>
    void Drop(string path, string name)
    {
        File.Delete(path);
        LogVolumeDropped(log, Quoted.Text(name));
    }

    /// <summary>The file's time is the volume's.</summary>
    void Write(QuotaVolume volume)
    {
        var path = layout.Volume(volume.Name);
        AtomicFile.Write(
            path,
            JsonSerializer.SerializeToUtf8Bytes(
                new StoredVolume(volume.Name, volume.GpuMemory, volume.Owner),
                StateJson.Default.StoredVolume
            ),
            FileModes.Owner
        );
        _volumes[volume.Name] = volume with { CreatedAt = new(File.GetLastWriteTimeUtc(path)) };
    }

    /// <summary>A success when the volume exists with the same option.</summary>
    public string? Add(QuotaVolume volume)
    {
        lock (_lock)
        {
            if (Find(volume.Name) is { } there)
                return WhyNotAgain(volume, there);
            if (Path.GetFileName(layout.Volume(volume.Name)).Length > 200)
                return $"the volume's name is too long: {volume.Name[..32]}…";
            if (_hasMore || _volumes.Count > MaxVolumes())
                return $"there are {(_hasMore ? $"more than {Ceiling}" : _volumes.Count - 1)} volumes with a quota, as "
                    + "many as this machine allows (maxVolumes in the policy): remove some with docker volume rm";
            Write(volume with { Owner = makers?.Take(volume.Name) });
            return null;
        }
    }

    string? WhyNotAgain(QuotaVolume volume, QuotaVolume there)
    {
        if (there.IsDamaged)
            return QuotaVolume.Damage(there.Name, DriverName);
        return there.GpuMemory == volume.GpuMemory
            ? null
            : $"volume {volume.Name} exists already {With(there)}, and was now to be made {With(volume)}: "
                + "take another name";
    }

    /// <summary>The volume <c>runai</c> stays.</summary>
    public void Remove(string name)
    {
        lock (_lock)
        {
            if (
                name == Everyone
                || (!_volumes.TryRemove(name, out _) && !(_hasMore && VolumeName.FindProblem(name) is null))
            )
                return;
            File.Delete(layout.Volume(name));
        }
    }

    static string With(QuotaVolume volume) =>
        volume.GpuMemory is null ? "without gpu-memory" : $"with gpu-memory={volume.GpuMemory}";

    static StoredVolume? Read(string path)
    {
        try
        {
            var volume = JsonSerializer.Deserialize(File.ReadAllBytes(path), StateJson.Default.StoredVolume);
            return string.IsNullOrEmpty(volume?.Name) ? null : volume;
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    [LoggerMessage(
        200,
        LogLevel.Error,
        "The volume file {Path} is damaged: the volume is listed, and not mounted until it is removed and created again"
    )]
    static partial void LogVolumeUnreadable(ILogger logger, string path);

    [LoggerMessage(
        212,
        LogLevel.Warning,
        "The volume {Volume} was dropped: no API call can name it, so it could not be removed"
    )]
    static partial void LogVolumeDropped(ILogger logger, string volume);

    [LoggerMessage(
        214,
        LogLevel.Error,
        "there are more than {Most} volumes in {Folder}: the others are served, and listed once they were used, "
            + "and no new ones are made until some are removed and the plugin is enabled again"
    )]
    static partial void LogTooManyVolumes(ILogger logger, int most, string folder);
}
