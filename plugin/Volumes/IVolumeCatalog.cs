// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Volumes;

/// <summary>Which volumes are ours. The volume <c>runai</c> always exists; the others were made by <c>docker volume
/// create</c>. Answers from memory.</summary>
interface IVolumeCatalog
{
    /// <summary>Null for a volume that is not ours. Finds damaged volumes too.</summary>
    QuotaVolume? Find(string name);

    /// <summary>Ordered by name, <c>runai</c> included.</summary>
    IReadOnlyList<QuotaVolume> List();

    /// <summary>Whether this resolved mount of an inspected container is a volume of this plugin: by the driver's name
    /// once it is known, else by any driver but <c>local</c> and a name that we have.</summary>
    bool Owns(MountPoint mount);

    /// <summary>Under which name the engine has this plugin, as people write it: <c>runai/gpu-memory</c>.</summary>
    string DriverName { get; }

    /// <summary>Whether a driver name of a create body or of a volume (<c>runai/gpu-memory</c>, with or without
    /// <c>:latest</c>) means this plugin.</summary>
    bool IsThisDriver(string driver);
}
