using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission;

/// <summary>Judges containers that run already, for who started them as far as that is known.</summary>
sealed class ContainerJudge(
    ContainerSpecs specs,
    EngineDefaults defaults,
    IGpuInventory gpus,
    PolicySource policy,
    GpuLedger ledger,
    StartCalls starts
) : IContainerJudge
{
    static readonly Reason Unjudged = new(
        "unjudged-start",
        "it was started by a call that meant another container when it was judged"
    );

    readonly RunTimes _runs = new();

    public void Started(string id, DateTimeOffset at) => _runs.Note(id, at);

    public Verdict Judge(ContainerInspect container, Requester requester, Observed? observed = null)
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
            ledger.SetUser(container.Id, caller);
        var who =
            caller is not null ? settings.RequesterOfRecord(caller)
            : requester == Requester.Engine && ledger.UserOf(container.Id) is { } user
                ? settings.RequesterOfRecord(user)
            : requester;
        var spec = specs.FromInspect(container, defaults.Runtime) with { Observed = observed ?? Observed.None };
        if (spec is { Gpu: null, Observed.Excesses: [var use, ..] })
            spec = spec with { Gpu = new($"use of GPU {use.Gpu.Index}", GpuSelection.Unknown) };
        var verdict = Policy.Evaluate(spec, who, gpus.Devices, settings, ledger.HoldingsForNewcomer(container.Id));
        return verdict.Allow ? verdict
            : caller is not null ? verdict with { Reasons = [.. verdict.Reasons, Unjudged], StopsAtOnce = true }
            : verdict with { StopsAtOnce = verdict.Reasons.Any(reason => Policy.MeansNoQuota(reason.Rule)) };
    }

    public Verdict JudgeUnreadable(string problem) =>
        Verdict.Refused(
            "container-unreadable",
            $"what the engine says of it cannot be read ({Quoted.Text(problem, 200).Trim('"')}), so nobody "
                + "knows whether it keeps the rules: remove it, and create it with fewer labels, variables and names"
        ) with
        {
            StopsBreach = policy.Current.StopsBreaches,
        };
}
