// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>Whether what is mounted here appears where the engine takes it from.</summary>
interface IHostView
{
    /// <summary>Whether mounts below the state propagate to the engine.</summary>
    bool Propagates();

    /// <summary>Whether this mount did.</summary>
    bool IsMountVisible(string dirId);

    /// <summary>There is no way back for this process: it ends at once, so that the engine restarts it with its mounts
    /// in place. Not twice in a short time, unless it was <see cref="Settled"/> in between: an engine gives up a plugin
    /// that ends again and again before its socket is found.</summary>
    void RestartProcess();

    /// <summary>This process has been connected for a while, or has served a mount. If its mounts are taken away after
    /// this, another engine did it.</summary>
    void Settled();
}
