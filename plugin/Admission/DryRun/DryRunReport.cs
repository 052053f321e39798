// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Admission.DryRun;

/// <summary>What is said to a <see cref="DryRunRequest"/>: lines for a terminal, between a first and a last one by
/// which programs find them.</summary>
sealed class DryRunReport
{
    /// <summary>The last line of every answer.</summary>
    public const string End = "nothing was done: this was a question";

    const int MaxBytes = Bounded.MaxBytes - 100;

    const int MaxProblems = 20;

    const string WithoutFile = "quotas that are asked for are enforced, all else is allowed";

    readonly StringBuilder _text = new();

    DryRunReport(string first) => _text.Append(first).Append('\n');

    /// <summary>Whatever is cut from it, the last line is not.</summary>
    public override string ToString() => Fits(_text.ToString()) + End;

    static string Fits(string text)
    {
        var fitting = Bounded.Text(text, MaxBytes);
        return fitting.Length == text.Length ? text : fitting + "\n";
    }

    DryRunReport Row(string name, string value)
    {
        _text.Append(CultureInfo.InvariantCulture, $"  {name, -8} {value}\n");
        return this;
    }

    /// <summary>The answer to a question that cannot be read or judged. <paramref name="problem"/> is one
    /// line.</summary>
    public static DryRunReport Unreadable(string problem) => new($"cannot be answered: {problem}");

    /// <summary>About a file that is none.</summary>
    public static DryRunReport OfProblems(IReadOnlyList<PolicyProblem> problems) =>
        new DryRunReport("refused").With(problems);

    /// <summary>About a file that is one.</summary>
    public static DryRunReport OfPolicy(PolicySettings policy, Requester reader) =>
        new DryRunReport("a policy").With(policy, reader);

    /// <summary>About the policy in force, and the file on disk where that is refused. The first words tell one from
    /// the other.</summary>
    public static DryRunReport OfPolicyInForce(PolicyInForce policy, Requester reader)
    {
        if (policy.Settings.IsBuiltIn && policy.Refused.Count == 0)
            return new($"no policy file: {WithoutFile}");
        if (policy.Settings.Problem is not null)
            return new DryRunReport(
                "refused: the file on disk, and there was no good one before: no container with a GPU or a quota runs"
            ).With(policy.Refused);
        var answer =
            policy.Refused.Count == 0
                ? new DryRunReport("a policy")
                : new DryRunReport("refused: the file on disk; the last good policy stays in force").With(
                    policy.Refused
                );
        if (policy.Since is { } since)
            answer._text.Append(
                CultureInfo.InvariantCulture,
                $"  in force since {since.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC\n"
            );
        return answer.With(policy.Settings, reader);
    }

    DryRunReport With(IReadOnlyList<PolicyProblem> problems)
    {
        foreach (var problem in problems.Take(MaxProblems))
            _text.Append(CultureInfo.InvariantCulture, $"  {problem}\n");
        if (problems.Count > MaxProblems)
            _text.Append(CultureInfo.InvariantCulture, $"  and {problems.Count - MaxProblems} more\n");
        return this;
    }

    DryRunReport With(PolicySettings policy, Requester reader)
    {
        if (policy.IsBuiltIn)
            _text.Append(CultureInfo.InvariantCulture, $"  {Describe(policy)}\n");
        else
            foreach (var (key, value) in PolicyText.Of(policy, reader))
                _text.Append(CultureInfo.InvariantCulture, $"  {key, -20} {value}\n");
        return this;
    }

    /// <summary>The answer about an API call: what would become of it, who was judged, and by which policy.</summary>
    /// <param name="verdict">The judgement.</param>
    /// <param name="requester">Who was judged.</param>
    /// <param name="policy">By which policy.</param>
    /// <param name="isInForce">Whether that is the plugin's own.</param>
    public static DryRunReport OfVerdict(Verdict verdict, Requester requester, PolicySettings policy, bool isInForce)
    {
        var answer = new DryRunReport(verdict.IsAllowed ? "would be allowed" : "would be refused");
        foreach (var reason in verdict.Reasons)
            answer.Row("refused", $"by {reason.Rule}: {reason.Message}");
        foreach (var reason in verdict.Audited)
            answer.Row("audit", $"the policy would refuse it by {reason.Rule}: {reason.Message}");
        answer
            .Row(
                "caller",
                $"{(requester.Name.Length == 0 ? "a caller on the Unix socket" : Quoted.Text(requester.Name))}, "
                    + $"{(requester.IsAdmin ? "an admin" : "no admin")}"
            )
            .Row("policy", $"{(isInForce ? "in force" : "the one given")}, {Describe(policy)}");
        return policy.IsBuiltIn || policy.Problem is not null
            ? answer
            : answer.Row("limits", Limits(policy, requester));
    }

    /// <summary>A mistyped name would else look like that of a user with few limits.</summary>
    static string Limits(PolicySettings policy, Requester requester) =>
        $"{WhoseLimits(policy, requester.Name)}: "
        + (PolicyText.Of(policy.LimitsOf(requester)) is { Length: > 0 } limits ? limits : "none");

    static string WhoseLimits(PolicySettings policy, string user)
    {
        if (user.Length == 0)
            return "of all users";
        return policy.Users.ContainsKey(user)
            ? $"of users.{Quoted.Text(user)}"
            : $"of all users, as users has no {Quoted.Text(user)}";
    }

    /// <summary>What it would have, GPU by GPU.</summary>
    /// <param name="spec">The container.</param>
    /// <param name="verdict">The judgement.</param>
    /// <param name="gpus">Those of the host.</param>
    /// <param name="policy">By which policy.</param>
    /// <param name="holdings">What others hold; null while that is unknown.</param>
    public DryRunReport WithContainer(
        ContainerSpec spec,
        Verdict verdict,
        IReadOnlyList<GpuDevice> gpus,
        PolicySettings policy,
        GpuHoldings? holdings
    )
    {
        Row("image", ImageOf(spec));
        Row("GPU", verdict.Gpu ?? "none");
        Row(
            "quota",
            verdict.Quota is null
                ? "none"
                : $"{verdict.Quota}{(spec.Quota is null ? ", the policy's defaultQuota" : "")}"
        );
        if (spec.Gpu is not { } access)
            return this;
        if (gpus.Count == 0)
            return Row("sizes", "not known: NVML finds no GPU");
        var seen = VisibleGpus.Of(access.Selection, gpus);
        foreach (var gpu in seen ?? gpus)
            Row(
                $"GPU {gpu.Index}",
                $"{(seen is null ? "perhaps " : "")}{Share(gpu, verdict)}, "
                    + $"{Free(gpu, policy, holdings)}{Quoted.Text(gpu.Uuid)} {Quoted.Text(gpu.Name).Trim('"')}"
            );
        return this;
    }

    static string ImageOf(ContainerSpec spec)
    {
        if (spec.Image.Length == 0)
            return "none";
        var image = Quoted.Text(spec.Image);
        return spec.ImageId.Length > 0 ? image : $"{image}, not known here, so what it adds is not counted in";
    }

    static string Share(GpuDevice gpu, Verdict verdict)
    {
        var whole = ByteSize.Text(gpu.AllocatableBytes);
        if (verdict.Quota?.Of(gpu.AllocatableBytes) is { } share)
            return $"{ByteSize.Text(share)} of {whole} ({share} bytes)";
        return verdict.IsAllowed ? $"all of {whole}, without a quota" : whole;
    }

    static string Free(GpuDevice gpu, PolicySettings policy, GpuHoldings? holdings)
    {
        if (policy.Overcommit is not { } factor)
            return "";
        return holdings is null
            ? "what is free is not known yet, "
            : $"{ByteSize.Text(holdings.BytesFree(gpu, factor))} free for quotas, ";
    }

    static string Describe(PolicySettings policy)
    {
        if (policy.Problem is { } problem)
            return $"of no use: {problem}";
        return policy.IsBuiltIn ? $"no file: {WithoutFile}" : policy.Summary;
    }
}
