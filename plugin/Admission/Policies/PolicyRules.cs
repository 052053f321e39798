// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Quotas;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>The one place that decides about a container. Pure: what it needs to know it is given.</summary>
static partial class PolicyRules
{
    /// <summary>What a rule looks at. <paramref name="Quota"/> is the effective one; null where there is none that can
    /// be read.</summary>
    sealed record RuleInput(
        ContainerSpec Spec,
        GpuMemoryQuota? Quota,
        string? QuotaProblem,
        Requester Requester,
        IReadOnlyList<GpuDevice> Gpus,
        PolicySettings Settings,
        QuotaLimits Limits,
        GpuHoldings? Holdings
    )
    {
        /// <summary>Also for a quota that cannot be read.</summary>
        public bool HasQuota => Quota is not null || QuotaProblem is not null;
    }

    delegate string? Rule(RuleInput subject);

    /// <summary>Always on. Each answers null, or why not and what to type instead.</summary>
    static readonly (string Name, Rule FindProblem)[] Rules =
    [
        ("quota-syntax", c => c.QuotaProblem),
        ("quota-needs-volume", QuotaNeedsVolume),
        ("volume-needs-quota", VolumeNeedsQuota),
        ("volume-damaged", VolumeDamaged),
        ("volume-status", VolumeStatus),
        ("volume-letter", VolumeLetter),
        ("volume-mistaken", VolumeMistaken),
        ("one-volume", OneVolume),
        ("volume-subpath", VolumeSubpath),
        ("volume-borrowed", VolumeBorrowed),
        ("volume-target", VolumeTarget),
        ("volume-read-only", VolumeReadOnly),
        ("volume-covered", VolumeCovered),
        ("volume-gone", VolumeGone),
        ("preload-read-only", PreloadReadOnly),
        ("preload-covered", PreloadCovered),
        ("preload-service", PreloadOfService),
        ("preload-missing", PreloadMissing),
        ("cgroup-parent", CgroupParent),
        ("gpu-count", GpuCount),
        ("quota-exceeds-gpu", QuotaExceedsGpu),
        ("quota-exceeded", QuotaExceeded),
    ];

    /// <summary>Those of the policy file, which exempts users and images from them and can ask for a log line instead
    /// of a refusal.</summary>
    static readonly (string Name, Rule FindProblem)[] FileRules =
    [
        ("require-quota", RequireQuota),
        ("max-quota", MaxQuota),
        ("driver-capabilities", DriverCapability),
        ("total-quota", TotalQuota),
        ("capacity", Capacity),
        ("privileged", Privileged),
        ("host-namespace", HostNamespace),
        ("bind-mount", BindMount),
    ];

    /// <summary>Whether a container that runs against this rule has no quota in force, whatever its label
    /// says.</summary>
    public static bool DisablesQuota(string rule) => rule is "volume-covered" or "preload-covered";

    /// <summary>Whether what breaks this rule at a start may fit later: what never fits is refused when it is
    /// created.</summary>
    public static bool MeansNotNow(string rule) => rule is "capacity" or "total-quota";

    public static IEnumerable<string> RuleNames => Rules.Concat(FileRules).Select(r => r.Name).Append("policy-file");

    /// <summary>Judges a container by all rules and collects every reason against it.</summary>
    /// <param name="spec">The container.</param>
    /// <param name="requester">Who wants it.</param>
    /// <param name="gpus">Those of the host; empty where they are not known.</param>
    /// <param name="settings">The policy file.</param>
    /// <param name="holdings">What other running containers hold; null where it does not matter yet.</param>
    public static Verdict Evaluate(
        ContainerSpec spec,
        Requester requester,
        IReadOnlyList<GpuDevice> gpus,
        PolicySettings settings,
        GpuHoldings? holdings = null
    )
    {
        var limits = settings.LimitsOf(requester);
        GpuMemoryQuota? quota = null;
        string? problem = null;
        // An image's label is of no matter to a container without GPU and volume.
        if (spec.Quota is null || !spec.IsRelevant)
            quota = spec.Directory is null ? null : limits.DefaultQuota;
        else
            _ = GpuMemoryQuota.TryParse(spec.Quota, out quota, out problem);
        var subject = new RuleInput(spec, quota, problem, requester, gpus, settings, limits, holdings);
        var reasons = Find(Rules, subject);
        if (settings.Problem is not null && spec.IsRelevant)
            reasons.Add(
                new(
                    "policy-file",
                    "the policy file of this machine cannot be used, so no container with a GPU or a quota "
                        + $"runs ({settings.Problem}): tell an admin"
                )
            );
        var fromFile = settings.IsBuiltIn || settings.IsExempt(spec, requester) ? [] : Find(FileRules, subject);
        return new(settings.IsAudit ? reasons : [.. reasons, .. fromFile], quota, spec.Gpu?.Via)
        {
            Audited = settings.IsAudit ? fromFile : [],
            StopsViolation = settings.StopsViolations,
        };
    }

    /// <summary>What the policy file alone has against a container, but for how much of a GPU is free.</summary>
    public static IReadOnlyList<Reason> FindInFile(
        ContainerSpec spec,
        Requester requester,
        IReadOnlyList<GpuDevice> gpus,
        PolicySettings settings
    ) => Evaluate(spec, requester, gpus, settings with { IsAudit = true }).Audited;

    static List<Reason> Find((string Name, Rule FindProblem)[] rules, RuleInput subject)
    {
        var reasons = new List<Reason>();
        foreach (var (name, findProblem) in rules)
            if (findProblem(subject) is { } message)
                reasons.Add(new(name, message));
        return reasons;
    }

    static string? QuotaNeedsVolume(RuleInput c)
    {
        if (c.Quota is not null && c.Spec.QuotaMounts.Count == 0)
            return $"{GpuMemoryQuota.Name}={c.Quota} needs the runai volume{Advice.InPlaceOfVolume(c.Spec)}";
        if (c.Spec is { Gpu: not null, QuotaMounts: [] } && c.Spec.Mistaken.Any(m => m.IsNamesake))
            return $"a quota needs the runai volume{Advice.InPlaceOfVolume(c.Spec)}";
        return c.Spec.QuotaMounts.FirstOrDefault(m => m.IsPreload) is { } preload && c.Spec.Directory is null
            ? $"{QuotaMount.PreloadFile} of the {Quoted.Text(preload.Volume)} volume needs the volume itself: "
                + $"{Advice.Volume(c.Spec.Tool, preload.Volume)}"
            : null;
    }

    static string? VolumeNeedsQuota(RuleInput c) =>
        !c.HasQuota
        && c.Spec.QuotaMounts.Count > 0
        && !c.Spec.QuotaMounts.Any(m => m.IsDamaged || StatusVolume.IsReserved(m.Volume))
            ? $"the {Quoted.Text(c.Spec.QuotaMounts[0].Volume)} volume needs a quota: "
                + $"{Advice.Label(c.Spec.Tool, "0.5")}"
            : null;

    static string? VolumeDamaged(RuleInput c) =>
        c.Spec.QuotaMounts.FirstOrDefault(m => m.IsDamaged) is { } damaged
            ? QuotaVolume.Damage(damaged.Volume, c.Spec.Plugin)
            : null;

    static string? VolumeStatus(RuleInput c) =>
        c.Spec.QuotaMounts.FirstOrDefault(m => StatusVolume.IsReserved(m.Volume)) is { } status
            ? StatusVolume.Refusal(status.Volume)
            : null;

    /// <summary>Clients take <c>-v c:/runai</c> for one path, of a drive, and the engine makes an anonymous volume at
    /// <c>/c:/runai</c>.</summary>
    static string? VolumeLetter(RuleInput c) =>
        c is { HasQuota: false, Spec: { Gpu: not null, QuotaMounts: [] } }
        && c.Spec.OtherTargets.FirstOrDefault(t => t is ['/', var letter, ':', '/', ..] && char.IsAsciiLetter(letter))
            is { } target
            ? $"-v {Quoted.Text(target[1..])} names no volume, since a volume's name has two letters or more: "
                + "write -v runai:/runai, or another volume of two letters or more"
            : null;

    /// <summary>A mistyped name, or that of a volume that is gone: the engine makes a volume of its own for it, and the
    /// container would have the whole GPU.</summary>
    static string? VolumeMistaken(RuleInput c) =>
        c is { HasQuota: false, Spec: { Gpu: not null, QuotaMounts: [] } }
        && !c.Spec.Mistaken.Any(m => m.IsNamesake)
        && Advice.InPlaceOfQuota(c.Spec) is { } found
            ? $"{found.What}, so nothing would limit this container's GPU memory: {found.Remedy}"
            : null;

    static string? OneVolume(RuleInput c)
    {
        var whole = c.Spec.QuotaMounts.Where(m => !m.IsPart).ToArray();
        if (whole.Length < 2)
            return null;
        if (whole.FirstOrDefault(m => m.Target == QuotaMount.PreloadFile) is not { } unknown)
            return "a container has one private directory, and "
                + $"{Bounded.List([.. whole.Select(Place)], " and ")} are {whole.Length}: mount one volume of this "
                + "plugin once";
        if (c.Spec.KnowsSubpath == true)
            return $"the mount of the {Quoted.Text(unknown.Volume)} volume at {QuotaMount.PreloadFile} has no "
                + $"volume-subpath: {Advice.Subpath(c.Spec.Tool, unknown.Volume)}";
        var directory = c.Spec.Directory! == unknown ? whole[1] : c.Spec.Directory!;
        return NoSubpath(c.Spec.Tool, unknown.Volume, directory);
    }

    static string Place(QuotaMount mount) => $"{Quoted.Text(mount.Volume)} at {Quoted.Text(mount.Target)}";

    /// <summary>An engine or a client that knows no subpath of a volume mounts all of it there.</summary>
    static string NoSubpath(ClientTool tool, string volume, QuotaMount directory) =>
        "this engine, or the API version of this call, knows no volume-subpath (Docker 26 and newer do, from "
        + $"API 1.45 on), so the whole {Quoted.Text(volume)} volume would be at {QuotaMount.PreloadFile}: leave "
        + $"that mount out, and where the container has --read-only {Advice.PreloadVariable(tool, directory)}";

    /// <summary>Before its API 1.45 an engine leaves subpaths away without a word.</summary>
    internal static Verdict OfSubpath(EngineRoute route, ContainerSpec spec) =>
        route.IsOlderThan(45)
        && spec is { Directory: { } directory }
        && spec.QuotaMounts.FirstOrDefault(m => m.IsPart) is { } part
            ? Verdict.Refused("volume-subpath", NoSubpath(spec.Tool, part.Volume, directory))
            : Verdict.Allowed;

    static string? VolumeSubpath(RuleInput c)
    {
        if (c.Spec.QuotaMounts.FirstOrDefault(m => m is { IsPart: true, IsPreload: false }) is { } part)
            return $"{Quoted.Text(part.Subpath)} of the {Quoted.Text(part.Volume)} volume cannot be mounted at "
                + $"{Quoted.Text(part.Target)}: mount the whole volume, and of its parts only "
                + $"{QuotaMount.PreloadName} at {QuotaMount.PreloadFile}";
        return
            c.Spec.PreloadsByMount
            && !c.Spec.PreloadsByEnvironment
            && c.Spec.Directory is { Target: not "/runai" } directory
            ? $"{QuotaMount.PreloadName} of the volume names /runai/librunai.so, and the volume is at "
                + $"{Quoted.Text(directory.Target)}: mount it at /runai"
            : null;
    }

    static string? VolumeBorrowed(RuleInput c)
    {
        if (c.Spec.Borrowed is not [var target, ..])
            return null;
        var own = target == QuotaMount.PreloadFile ? Advice.PreloadMount("runai") : $"-v runai:{Quoted.Text(target)}";
        return $"--volumes-from may bring any part of the volume to {Quoted.Text(target)}: add {own}, "
            + "which takes its place";
    }

    /// <summary>By control groups the plugin and the shim tell whose a process is, also one that gets its GPU later
    /// from another.</summary>
    static string? CgroupParent(RuleInput c) => FindForeignControlGroup(c.Spec.ControlGroup);

    /// <summary>Null unless the control group is another container's; then the message of the refusal.</summary>
    internal static string? FindForeignControlGroup(string parent) =>
        ControlGroups.ContainersIn(parent).Count > 0
            ? $"--cgroup-parent {Quoted.Text(parent)} is another container's control group, and that one would be "
                + "charged for this one's GPU memory: leave it out"
            : null;

    /// <summary>Blanks and colons divide the names in ld.so.preload, and a dollar sign starts a variable
    /// there.</summary>
    static string? VolumeTarget(RuleInput c) =>
        c.Spec.Directory is { } directory
        && (
            directory.Target is "/" or "/etc"
            || UnixPath.IsWithin(directory.Target, QuotaMount.PreloadFile)
            || directory.Target.Length > 200
            || !directory.Target.All(ch =>
                char.IsAsciiLetterOrDigit(ch) || ch is '/' or '.' or '-' or '_' or '+' or '@' or '~'
            )
        )
            ? $"the {Quoted.Text(directory.Volume)} volume cannot be at {Quoted.Text(directory.Target)}: mount it "
                + "at /runai"
            : null;

    /// <summary>Without the ledger each process has the whole quota for itself until the driver's count says
    /// otherwise.</summary>
    static string? VolumeReadOnly(RuleInput c) =>
        c.Spec.Directory is { IsReadOnly: true } directory
            ? $"the {Quoted.Text(directory.Volume)} volume at {Quoted.Text(directory.Target)} is read-only by "
                + "itself but for a folder that the container's processes share: leave ro out"
            : null;

    static string? VolumeCovered(RuleInput c)
    {
        if (c.Spec.Observed.IsCut)
            return $"it has more than {ProcMountTable.MaxMounts} mounts, or longer ones than the plugin "
                + "reads, and any of them may cover the quota: make fewer in it";
        if (c.Spec.Observed.Shadowings is [var actual, ..])
            return $"the mount at {Quoted.Text(actual.By)} covers the quota at {Quoted.Text(actual.Hidden)}, maybe "
                + "through a link in the image: remove it or move it";
        if (c.Spec.Directory is not { } directory)
            return null;
        var parts = c.Spec.QuotaMounts.Where(m => m.IsPart).Select(m => m.Target);
        return
            c.Spec.OtherTargets.Concat(parts).FirstOrDefault(t => UnixPath.IsWithin(t, directory.Target)) is { } cover
            ? $"the mount at {Quoted.Text(cover)} would cover the {Quoted.Text(directory.Volume)} volume at "
                + $"{Quoted.Text(directory.Target)}: remove it or move it"
            : null;
    }

    /// <summary>Seen where a container outlived the plugin that it was started with.</summary>
    static string? VolumeGone(RuleInput c)
    {
        if (c.Spec.Directory is not { } directory)
            return null;
        if (c.Spec.Observed.IsUnreadable)
            return $"the mounts of its first process cannot be read, so whether the {Quoted.Text(directory.Volume)} "
                + $"volume at {Quoted.Text(directory.Target)} is still there is unknown: restart the container";
        return c.Spec.Observed.Missing is { } missing
            ? $"{missing} of the {Quoted.Text(directory.Volume)} volume at {Quoted.Text(directory.Target)} is "
                + "gone, so its quota is not kept: restart the container"
            : null;
    }

    static string? PreloadReadOnly(RuleInput c) =>
        c.Spec is { ReadOnlyRoot: true, NeedsPreloadFile: true, Directory: { } directory }
            ? $"--read-only leaves no way to put {QuotaMount.PreloadFile} into the container: "
                + $"{Advice.Preload(c.Spec.Tool, directory, c.Spec.KnowsSubpath)}"
            : null;

    static string? PreloadCovered(RuleInput c) =>
        c.Spec is { NeedsPreloadFile: true, ReadOnlyRoot: false, Directory: { } directory }
        && c.Spec.OtherTargets.Concat(c.Spec.Observed.Targets).FirstOrDefault(ContainerSpec.CoversPreload) is { } cover
            ? $"the mount at {Quoted.Text(cover)} covers "
                + $"{(cover == QuotaMount.NixPreloadFile ? cover : QuotaMount.PreloadFile)}, which loads the quota: "
                + $"remove it, or {Advice.Preload(c.Spec.Tool, directory, c.Spec.KnowsSubpath)}"
            : null;

    /// <summary>The engine's word that it made a task's container, and the calls that put the file in, take longer than
    /// swarm takes to start it: seen on 20.10, 26.1 and 28.5, idle, of every task.</summary>
    static string? PreloadOfService(RuleInput c) =>
        c.Spec is { IsOfService: true, NeedsPreloadFile: true, ReadOnlyRoot: false, Directory: { } directory }
            ? $"swarm starts tasks before {QuotaMount.PreloadFile} can be put into them, so nothing would limit "
                + $"their first program: {Advice.ServicePreload(c.Spec.Tool, directory)}"
            : null;

    /// <summary>The file came too late for it, as it may for the first task of a service, the file was removed, or the
    /// program has a loader that reads another.</summary>
    static string? PreloadMissing(RuleInput c) =>
        c.Spec is { Observed.WithoutShim: { } program, Gpu: not null, Directory: { } directory }
            ? $"{Quoted.Text(program)} in it runs without the shim, so nothing limits its GPU memory: restart the "
                + $"container, and if that changes nothing {Advice.PreloadVariable(c.Spec.Tool, directory)}"
            : null;

    /// <summary> At the start the engine writes down each index up to the count, in its own memory: 2^40 end it, seen
    /// on 28.5. </summary>
    static string? GpuCount(RuleInput c) =>
        c.Spec.AskedGpus > ContainerSpec.MaxGpus
            ? $"--gpus {c.Spec.AskedGpus} is more than the {ContainerSpec.MaxGpus} GPUs that a container may ask for: "
                + "write --gpus all"
            : null;

    static string? QuotaExceeded(RuleInput c)
    {
        if (
            c.Quota is not { } quota
            || c.Spec.Observed.Excesses.FirstOrDefault(e => e.Used > quota.Of(e.Gpu.AllocatableBytes)) is not { } excess
        )
            return null;
        var limit = quota.Of(excess.Gpu.AllocatableBytes);
        return $"its processes have {excess.Used} bytes ({ByteSize.Text(excess.Used)}) of {Name(excess.Gpu)}, more "
            + $"than {GpuMemoryQuota.Name}={quota} ({limit} bytes, {ByteSize.Text(limit)}): a program in it runs "
            + "without the shim, or the quota is less than the driver's own share of one";
    }

    static string? QuotaExceedsGpu(RuleInput c)
    {
        if (c.Quota?.SizeBytes is not { } size || c.Spec.Gpu is not { } access || c.Gpus.Count == 0)
            return null;
        // Where it is unknown which GPUs it will see, one that is large enough will do.
        var gpu =
            VisibleGpus.Of(access.Selection, c.Gpus)?.FirstOrDefault(g => g.TotalBytes < size)
            ?? (c.Gpus.MaxBy(g => g.TotalBytes) is { } largest && largest.TotalBytes < size ? largest : null);
        return gpu is null
            ? null
            : $"{GpuMemoryQuota.Name}={c.Quota} is more than GPU {gpu.Index} ({Quoted.Text(gpu.Name).Trim('"')}) "
                + $"has: {size} > {gpu.TotalBytes} bytes ({ByteSize.Text(size)} > "
                + $"{ByteSize.Text(gpu.TotalBytes)}): write "
                + $"{GpuMemoryQuota.Name}=1 for all of it, or a smaller size";
    }
}
