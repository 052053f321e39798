// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Admission;

/// <summary>Judges containers that run already, for who started them as far as that is known.</summary>
sealed class ContainerJudge(
    ContainerSpecMapper specs,
    EngineDefaults defaults,
    IGpuInventory gpus,
    PolicySource policy,
    GpuReservations reservations,
    StartCalls starts
) : IContainerJudge
{
    static readonly Reason Unjudged = new(
        "unjudged-start",
        "it was started by a call that meant another container when it was judged"
    );

    readonly RunTimes _runs = new();

    public void Started(string id, DateTimeOffset at) => _runs.Note(id, at);

    public ContainerSpec Describe(ContainerInspect container) => specs.FromInspect(container, defaults.Runtime);

    public (ContainerSpec Spec, Verdict Verdict) Judge(
        ContainerInspect container,
        Requester requester,
        Observed? observed = null
    )
    {
        var settings = policy.Current;
        // A run that a call began is judged for its caller, also when its restart policy has ended and started it
        // before this look.
        var caller =
            requester == Requester.Engine
            && _runs.FindCalled(container.Id, container.State.StartedAt, container.RestartCount) is { } called
                ? starts.FindCallerOfUnjudged(container.Id, called, container.Name.TrimStart('/'))
                : null;
        if (caller is not null)
            reservations.SetUser(container.Id, caller);
        var user = requester == Requester.Engine ? caller ?? reservations.UserOf(container.Id) : null;
        var who = user is null ? requester : settings.RequesterOfRecord(user);
        var spec = Describe(container) with { Observed = observed ?? Observed.None };
        // Such a GPU counts for the rules; what it holds of one is by its configuration.
        var judged = spec is { Gpu: null, Observed.Excesses: [var use, ..] }
            ? spec with
            {
                Gpu = new($"use of GPU {use.Gpu.Index}", GpuSelection.Unknown),
            }
            : spec;
        var verdict = PolicyRules.Evaluate(
            judged,
            who,
            gpus.Devices,
            settings,
            reservations.HeldByOthersIfNew(container.Id)
        );
        if (!verdict.IsAllowed)
            verdict = caller is not null
                ? verdict with
                {
                    Reasons = [.. verdict.Reasons, Unjudged],
                    KillsNow = true,
                }
                : verdict with
                {
                    KillsNow = verdict.Reasons.Any(reason => PolicyRules.DisablesQuota(reason.Rule)),
                };
        return (spec, verdict);
    }

    public Verdict JudgeUnreadable(string problem) =>
        Verdict.Refused(
            "container-unreadable",
            $"what the engine says of it cannot be read ({Quoted.Text(problem, 200).Trim('"')}), so it cannot be "
                + "judged: remove it, and create it with fewer labels, variables and names"
        ) with
        {
            StopsViolation = policy.Current.StopsViolations,
        };
}
