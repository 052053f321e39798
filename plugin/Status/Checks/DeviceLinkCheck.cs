// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>systemd knows a device of a container by its link in <c>/dev/char</c>. NVIDIA's driver makes none, and so
/// <c>systemctl daemon-reload</c> takes the GPU from running containers.</summary>
sealed class DeviceLinkCheck(PluginSettings settings) : ICheck
{
    const int MaxNodes = 300;

    public IEnumerable<Problem> Find(EngineInfo? engine)
    {
        if (engine?.CgroupDriver != "systemd" || !Directory.Exists(settings.Devices))
            yield break;
        var missing = Directory
            .EnumerateFileSystemEntries(settings.Devices, "nvidia*")
            .Take(MaxNodes)
            .Where(IsWithoutLink)
            .Select(node => "/dev/" + Path.GetFileName(node))
            .Order(StringComparer.Ordinal)
            .ToArray();
        if (missing.Length > 0)
            yield return new(
                "dev-char",
                null,
                $"systemctl daemon-reload takes the GPU from running containers: /dev/char has no link to "
                    + Bounded.List(missing),
                "nvidia-ctk system create-dev-char-symlinks --create-all, at each boot (docs/status.md)"
            );
    }

    bool IsWithoutLink(string node) =>
        Statx.Stat(node) is (NodeType.CharacterDevice, var major, var minor)
        && Statx.Stat(string.Create(CultureInfo.InvariantCulture, $"{settings.Devices}/char/{major}:{minor}")).Type
            == NodeType.Missing;
}
