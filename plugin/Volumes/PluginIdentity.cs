// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>Who this plugin is to the engine: its ID by where its propagated mount lies, its name by asking the engine
/// (<see cref="Name"/> is then set).</summary>
sealed class PluginIdentity
{
    /// <summary>The name in the documentation, used until the engine has told the real one.</summary>
    public const string DefaultName = "runai/gpu-memory:latest";
    const string Latest = ":latest",
        Official = "library/",
        Marker = "/plugins/",
        End = "/propagated-mount";

    static readonly string[] Registry = ["docker.io/", "index.docker.io/"];

    readonly string? _socketName;
    volatile string? _name;

    public PluginIdentity(StateLayout layout, PluginSettings settings, IMountTable mounts)
    {
        Id = mounts
            .Own()
            .Where(mount => mount.Target == layout.State)
            .Select(mount => IdOf(mount.Root))
            .LastOrDefault(id => id is not null);
        if (Id is null)
            _socketName = Path.GetFileNameWithoutExtension(settings.Socket);
    }

    /// <summary>64 hex digits; null where the engine does not manage this process (a plain plugin socket).</summary>
    public string? Id { get; }

    /// <summary>As the engine lists it, e.g. <c>runai/gpu-memory:latest</c>; null until known.</summary>
    public string? Name
    {
        get => _name ?? _socketName;
        set => _name = value;
    }

    /// <summary>As people write it; the default while it is not known.</summary>
    public string DisplayName
    {
        get
        {
            var name = Name ?? DefaultName;
            return name.EndsWith(Latest, StringComparison.Ordinal) ? name[..^Latest.Length] : name;
        }
    }

    /// <summary>Whether a driver's name means this plugin: its name, its ID or the ID's beginning. While our own name
    /// is not known, the default one does.</summary>
    public bool IsThisPlugin(string driver) =>
        driver.Length > 0
        && (
            Canonical(driver) == Canonical(Name ?? DefaultName)
            || Id?.StartsWith(driver, StringComparison.Ordinal) == true
        );

    /// <summary>As the engine reads plugin names: Docker's registry, its folder <c>library</c> and the tag
    /// <c>latest</c> go without saying.</summary>
    static string Canonical(string name)
    {
        foreach (var registry in Registry)
        {
            if (name.StartsWith(registry, StringComparison.Ordinal))
            {
                name = name[registry.Length..];
                break;
            }
        }

        if (name.StartsWith(Official, StringComparison.Ordinal) && name.LastIndexOf('/') == Official.Length - 1)
            name = name[Official.Length..];
        return name.LastIndexOf(':') > name.LastIndexOf('/') ? name : name + Latest;
    }

    static string? IdOf(string root)
    {
        if (!root.EndsWith(End, StringComparison.Ordinal))
            return null;
        var start = root.LastIndexOf(Marker, StringComparison.Ordinal) + Marker.Length;
        var id = start < Marker.Length ? "" : root[start..^End.Length];
        return id.Length == 64 && id.All(char.IsAsciiHexDigitLower) ? id : null;
    }
}
