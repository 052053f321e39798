// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>What <see cref="IContainerJudge"/> answers.</summary>
/// <param name="Reasons">Empty: allowed.</param>
/// <param name="Quota">The quota to write for the container; null where it has none.</param>
/// <param name="Gpu">How the container gets a GPU, e.g. <c>--gpus</c>, <c>device /dev/nvidia0</c>; null when it gets
/// none.</param>
sealed record Verdict(IReadOnlyList<Reason> Reasons, GpuMemoryQuota? Quota, string? Gpu)
{
    /// <summary>What the policy file would refuse, were it not in audit mode.</summary>
    public IReadOnlyList<Reason> Audited { get; init; } = [];

    /// <summary>Whether the policy wants a running container that it refuses stopped.</summary>
    public bool StopsViolation { get; init; }

    /// <summary>Whether a running container is to end whatever the policy says of breaches: it came past the judgement,
    /// or its quota is not in force.</summary>
    public bool KillsNow { get; init; }

    /// <summary>True in audit mode too, where <see cref="Audited"/> says what would be refused.</summary>
    public bool IsAllowed => Reasons.Count == 0;

    /// <summary>For a call that brings neither a quota nor a GPU.</summary>
    public static Verdict Allowed { get; } = new([], null, null);

    /// <summary>Refuses by one rule, in audit mode too.</summary>
    public static Verdict Refused(string rule, string message) => new([new(rule, message)], null, null);

    /// <summary>By the policy file: in audit mode it is allowed, and said to be.</summary>
    public static Verdict RefusedByPolicyFile(PolicySettings policy, string rule, string message) =>
        policy.IsAudit ? Allowed with { Audited = [new(rule, message)] } : Refused(rule, message);

    /// <summary>The other, with what this one has against it.</summary>
    public Verdict And(Verdict other) =>
        Reasons.Count + Audited.Count == 0
            ? other
            : other with
            {
                Reasons = [.. Reasons, .. other.Reasons],
                Audited = [.. Audited, .. other.Audited],
            };

    /// <summary>All reasons in one line, as the engine shows it to the user.</summary>
    public string Message => string.Join("; ", Reasons.Select(r => r.Message));
}
