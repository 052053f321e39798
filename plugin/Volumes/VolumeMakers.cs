// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;

namespace Runai.GpuMemory.Volumes;

/// <summary>Who is about to make which volume. The engine tells the volume driver the name, and authorization, just
/// before, the caller.</summary>
sealed class VolumeMakers
{
    /// <summary>Calls at the same time. Whose are forgotten, an admin removes.</summary>
    const int MaxEntries = 1000;

    readonly ConcurrentDictionary<string, string> _makers = new(StringComparer.Ordinal);

    /// <summary>Remembers who is about to make a volume. For an admin it forgets the caller before.</summary>
    /// <param name="volume">Its name. One that no volume of ours can have is not kept in mind.</param>
    /// <param name="owner">As in <see cref="QuotaVolume.Owner"/>.</param>
    public void Expect(string volume, string? owner)
    {
        if (volume.Length > VolumeName.MaxLength || VolumeName.FindProblem(volume) is not null)
            return;
        if (owner is null || _makers.Count >= MaxEntries)
            _makers.TryRemove(volume, out _);
        else
            _makers[volume] = owner;
        if (_makers.Count >= MaxEntries)
            _makers.Clear();
    }

    /// <summary>Returns the owner once; null for an admin, and if no call came before.</summary>
    public string? Take(string volume) => _makers.TryRemove(volume, out var owner) ? owner : null;
}
