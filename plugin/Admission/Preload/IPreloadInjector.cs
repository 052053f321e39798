// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Preload;

/// <summary>Puts <c>/etc/ld.so.preload</c> into a container that has not started yet.</summary>
interface IPreloadInjector
{
    /// <summary>Makes sure that the container's programs load the shim: nothing to do where it has no volume of ours,
    /// brings its own preload, or was served already.
    /// Idempotent, and safe to call at once from the create call's answer and from the <c>create</c> event.</summary>
    /// <param name="container">As the engine describes it.</param>
    /// <param name="spec">The same, as admission reads it.</param>
    /// <param name="cancel">Ends the wait.</param>
    /// <returns>Null when done; else why not, in one line.</returns>
    Task<string?> EnsureAsync(ContainerInspect container, ContainerSpec spec, CancellationToken cancel);
}
