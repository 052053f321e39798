// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Admission;

/// <summary>The one judgement over a container as the engine will run (or runs) it. Pure but for what it is given;
/// asked at start, and by reconciliation for containers that came another way.</summary>
interface IContainerJudge
{
    /// <summary>What admission knows of the container.</summary>
    ContainerSpec Describe(Engine.ContainerInspect container);

    /// <summary>Judges by the policy in force. For <see cref="Requester.Engine"/> the limits are those of the user who
    /// started the container, if that is known.</summary>
    /// <param name="container">As the engine describes it.</param>
    /// <param name="requester">For whom.</param>
    /// <param name="observed">What it is found to have; null where that was not looked at.</param>
    /// <returns>What was judged, and how.</returns>
    (ContainerSpec Spec, Verdict Verdict) Judge(
        Engine.ContainerInspect container,
        Requester requester,
        Observed? observed = null
    );

    /// <summary>The engine started a container. To be told in the order of the engine's events.</summary>
    /// <param name="id">The container.</param>
    /// <param name="at">By the engine's clock.</param>
    void Started(string id, DateTimeOffset at) { }

    /// <summary>Of a running container that the engine does not describe: it breaks a rule by that.</summary>
    /// <param name="problem">Why it does not.</param>
    Verdict JudgeUnreadable(string problem);
}
