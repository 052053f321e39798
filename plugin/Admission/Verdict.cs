namespace Runai.GpuMemory.Admission;

/// <summary>Who asks. <paramref name="Name"/> is the common name of the TLS client certificate, empty on the unix
/// socket.</summary>
public sealed record Requester(string Name, bool IsAdmin)
{
    /// <summary>For containers that no API call started: restart policies, engine boot, swarm.</summary>
    public static Requester Engine { get; } = new("", true);
}

/// <summary>One reason of a refusal. <paramref name="Message"/> is whole sentences for the user's terminal, naming the
/// object and what to type instead.</summary>
/// <param name="Rule">A short stable name, e.g. <c>quota-syntax</c>; goes into the decision's log line.</param>
/// <param name="Message">What the user reads.</param>
public sealed record Reason(string Rule, string Message);

/// <summary>What the kernel and the driver say of a running container. A link in its image can lead a mount to another
/// place than the configuration says.</summary>
/// <param name="Targets">Of all mounts that are not ours, as its programs see them.</param>
/// <param name="Coverings">Mounts on the private directory, and on what belongs to it.</param>
public sealed record Observed(IReadOnlyList<string> Targets, IReadOnlyList<Covering> Coverings)
{
    public static Observed None { get; } = new([], []);

    /// <summary>It has more mounts than are read: what they cover nobody knows.</summary>
    public bool IsCut { get; init; }

    /// <summary>Its mounts cannot be read, time and again, although it runs: whether it has its private directory
    /// nobody knows.</summary>
    public bool IsUnreadable { get; init; }

    /// <summary>GPUs of which its processes have more than its quota, or than none.</summary>
    public IReadOnlyList<Excess> Excesses { get; init; } = [];

    /// <summary>What of the private directory its processes do not have, although it has the volume: words for people;
    /// null where they have it all.</summary>
    public string? Missing { get; init; }

    /// <summary>The file of a program of it that runs without the shim although it could load it; null where none was
    /// seen.</summary>
    public string? WithoutShim { get; init; }
}

/// <summary>Use of a GPU above the quota, in bytes. Who is not known to have a GPU has a limit of 0.</summary>
public sealed record Excess(Gpu.GpuDevice Gpu, long Used, long Limit);

/// <summary>A mount at <paramref name="By"/> that hides what of ours is at <paramref name="Hidden"/>.</summary>
public sealed record Covering(string Hidden, string By);

/// <summary>What <see cref="IContainerJudge"/> answers.</summary>
/// <param name="Reasons">Empty: allowed.</param>
/// <param name="Quota">The quota to write for the container, as the user wrote it (valid by the grammar); null where it
/// has none.</param>
/// <param name="Gpu">How the container gets a GPU, e.g. <c>--gpus</c>, <c>device /dev/nvidia0</c>; null when it gets
/// none.</param>
public sealed record Verdict(IReadOnlyList<Reason> Reasons, string? Quota, string? Gpu)
{
    /// <summary>What the policy file would refuse, were it not in audit mode.</summary>
    public IReadOnlyList<Reason> Audited { get; init; } = [];

    /// <summary>Whether the policy wants a running container that it refuses stopped.</summary>
    public bool StopsBreach { get; init; }

    /// <summary>Whether a running container is to end whatever the policy says of breaches: it came past the judgement,
    /// or its quota is not in force.</summary>
    public bool StopsAtOnce { get; init; }
    public bool Allow => Reasons.Count == 0;
    public static Verdict Fine { get; } = new([], null, null);

    public static Verdict Refused(string rule, string message) => new([new(rule, message)], null, null);

    /// <summary>By the policy file: in audit mode it is allowed, and said to be.</summary>
    public static Verdict RefusedByFile(PolicySettings policy, string rule, string message) =>
        policy.IsAudit ? Fine with { Audited = [new(rule, message)] } : Refused(rule, message);

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

/// <summary>The one judgement over a container as the engine will run (or runs) it. Pure but for what it is given;
/// asked at start, and by reconciliation for containers that came another way.</summary>
public interface IContainerJudge
{
    /// <param name="container">As the engine describes it.</param>
    /// <param name="requester">For whom.</param>
    /// <param name="observed">What it is found to have; null where nobody looked.</param>
    Verdict Judge(Engine.ContainerInspect container, Requester requester, Observed? observed = null);

    /// <summary>The engine started a container. To be told in the order of the engine's events.</summary>
    /// <param name="id">The container.</param>
    /// <param name="at">By the engine's clock.</param>
    void Started(string id, DateTimeOffset at) { }

    /// <summary>Of a running container that the engine does not describe: it breaks a rule by that.</summary>
    /// <param name="problem">Why it does not.</param>
    Verdict JudgeUnreadable(string problem);
}
