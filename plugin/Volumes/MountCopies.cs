// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>Engines up to 20.10 mount a container's volumes once more for each <c>docker cp</c> into it while it runs.
/// The kernel puts these copies beneath the container's own mounts, where no path leads to them, and they stay for as
/// long as the container runs.</summary>
sealed class MountCopies
{
    const int None = -1;

    readonly IReadOnlyList<MountEntry> _mounts;
    readonly int[] _parent,
        _firstChild,
        _nextChild;
    readonly bool[] _isLeftOut,
        _isSeen;
    readonly Dictionary<(int Parent, string Target, string Device, string Root), int> _children;

    MountCopies(IReadOnlyList<MountEntry> mounts)
    {
        _mounts = mounts;
        _parent = new int[mounts.Count];
        _firstChild = new int[mounts.Count];
        _nextChild = new int[mounts.Count];
        _isLeftOut = new bool[mounts.Count];
        _isSeen = new bool[mounts.Count];
        _children = new(mounts.Count);
        var byId = new Dictionary<int, int>(mounts.Count);
        for (var mount = 0; mount < mounts.Count; mount++)
            byId.TryAdd(mounts[mount].Id, mount);
        Array.Fill(_firstChild, None);
        for (var mount = 0; mount < mounts.Count; mount++)
            Put(mount, byId.TryGetValue(mounts[mount].Parent, out var parent) && parent != mount ? parent : None);
    }

    /// <summary>Leaves out each mount that lies directly beneath one of the same directory at the same place, with what
    /// is mounted on it, where all of that is on the upper one too. So nothing is left out that a process could see,
    /// and nothing that could hide what it sees.</summary>
    /// <returns>The others, in the same order, on what the ones left out were on.</returns>
    public static IReadOnlyList<MountEntry> LeaveOut(IReadOnlyList<MountEntry> mounts)
    {
        var copies = new MountCopies(mounts);
        // What is on a mount mostly stands behind it: so that is seen to first.
        for (var mount = mounts.Count - 1; mount >= 0; mount--)
            if (!copies._isLeftOut[mount] && !copies._children.ContainsKey(copies.KeyOf(mount, mount)))
                copies.LeaveOutBeneath(mount);
        return copies._isLeftOut.Contains(true) ? [.. copies.Rest()] : mounts;
    }

    IEnumerable<MountEntry> Rest()
    {
        for (var mount = 0; mount < _mounts.Count; mount++)
        {
            if (_isLeftOut[mount])
                continue;
            var parent = _parent[mount];
            yield return parent == None || _mounts[parent].Id == _mounts[mount].Parent
                ? _mounts[mount]
                : _mounts[mount] with
                {
                    Parent = _mounts[parent].Id,
                };
        }
    }

    void LeaveOutBeneath(int upper)
    {
        for (
            var lower = _parent[upper];
            lower != None && !_isSeen[lower] && IsCopy(lower, upper);
            lower = _parent[upper]
        )
        {
            _isSeen[lower] = true;
            if (FindCopied(lower, upper) is not { } copied)
            {
                upper = lower;
                continue;
            }
            copied.ForEach(mount => _isLeftOut[mount] = true);
            Put(upper, _parent[lower]);
        }
    }

    /// <summary>The lower one and all on it but the upper one. Null where some of that is not on the upper
    /// one.</summary>
    List<int>? FindCopied(int lower, int upper)
    {
        List<(int Lower, int Upper)> pairs = [(lower, upper)];
        for (var next = 0; next < pairs.Count; next++)
        for (var child = _firstChild[pairs[next].Lower]; child != None; child = _nextChild[child])
        {
            if (child == upper || _isLeftOut[child])
                continue;
            if (child == lower || !_children.TryGetValue(KeyOf(pairs[next].Upper, child), out var counterpart))
                return null;
            pairs.Add((child, counterpart));
        }
        return pairs.ConvertAll(pair => pair.Lower);
    }

    void Put(int mount, int parent)
    {
        _parent[mount] = parent;
        if (parent == None)
            return;
        (_nextChild[mount], _firstChild[parent]) = (_firstChild[parent], mount);
        _children[KeyOf(parent, mount)] = mount;
    }

    /// <summary>A process may have any of those at its root for it.</summary>
    bool IsCopy(int one, int other) => _mounts[one].Target != "/" && KeyOf(None, one) == KeyOf(None, other);

    (int, string, string, string) KeyOf(int parent, int mount) =>
        (parent, _mounts[mount].Target, _mounts[mount].Device, _mounts[mount].Root);
}
