// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>Where the plugin sees all control groups of the host: in a mount of its own. The one that engines give
/// their plugins shows theirs alone.</summary>
/// <param name="folder">Where it is mounted, when it is first needed.</param>
sealed class ControlGroupTree(string folder)
{
    readonly Lock _lock = new();
    readonly Dictionary<string, string?> _mounted = new(StringComparer.Ordinal);

    /// <summary>A hierarchy's root; null where it cannot be mounted.</summary>
    /// <param name="controllers">Of version 1, as <c>/proc/PID/cgroup</c> has them; empty: version 2.</param>
    public string? Find(string controllers)
    {
        lock (_lock)
        {
            if (!_mounted.TryGetValue(controllers, out var root))
                _mounted[controllers] = root = TryMount(controllers);
            return root;
        }
    }

    string? TryMount(string controllers)
    {
        var target = Path.Combine(folder, controllers.Length > 0 ? controllers : "unified");
        try
        {
            StateLayout.MakeDirectory(folder, Common.FileModes.OwnerDirectory);
            StateLayout.MakeDirectory(target, Common.FileModes.OwnerDirectory);
            MountSyscalls.MountControlGroups(target, controllers);
            return target;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
