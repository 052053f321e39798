// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>The latest looks at the plugin's volumes. The engine asks the volume driver for the same at each
/// <c>docker run</c>; authorization, just before, sees which it is.</summary>
sealed class VolumeLooks(TimeProvider time)
{
    /// <summary>As long as a measurement counts, so that there is one for all who look, and for who comes just
    /// after.</summary>
    public static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(2);

    long _lookedAt;

    /// <summary>A caller inspects one of the plugin's volumes.</summary>
    public void Note() => Volatile.Write(ref _lookedAt, time.GetTimestamp());

    /// <summary>Whether the last look is less than <see cref="MaxAge"/> ago.</summary>
    public bool IsRecent => Volatile.Read(ref _lookedAt) is not 0 and var at && time.GetElapsedTime(at) < MaxAge;
}
