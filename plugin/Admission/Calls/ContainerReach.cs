// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges calls that get into a container, or at what it has, without starting it: its caller could have
/// started it under the policy file, or is refused. An admin's container may have the host's folders and namespaces;
/// who gets into it has them too. Admins, and whom the file exempts, pass without a look.</summary>
sealed class ContainerReach(
    IEngineClient engine,
    ContainerSpecMapper specs,
    EngineDefaults defaults,
    IGpuInventory gpus,
    JudgedCalls judged
)
{
    /// <summary>Of a chain of containers that share namespaces, and of containers that the beginning of an ID can
    /// mean.</summary>
    const int MaxContainers = 8;

    /// <summary>Of the containers whose namespaces a container shares.</summary>
    public ValueTask<Verdict> JudgeJoinedAsync(
        IReadOnlyList<string> names,
        ContainerSpec spec,
        Requester requester,
        PolicySettings settings,
        CancellationToken cancel
    ) =>
        names.Count == 0 || settings.IsExempt(spec, requester)
            ? new(Verdict.Allowed)
            : JudgeAsync("--pid, --ipc or --network container:", names, requester, settings, cancel);

    /// <summary>Judges containers, and those whose namespaces they share, as if the caller started them under the
    /// policy file.</summary>
    /// <param name="how">What the call is, in the words of the command line: <c>docker exec</c>.</param>
    /// <param name="names">The containers: names, IDs, or parts of one.</param>
    /// <param name="requester">Who calls.</param>
    /// <param name="policy">The policy file.</param>
    /// <param name="cancel">Ends the work.</param>
    /// <exception cref="EngineException">The engine does not say what they are.</exception>
    public async ValueTask<Verdict> JudgeAsync(
        string how,
        IEnumerable<string> names,
        Requester requester,
        PolicySettings policy,
        CancellationToken cancel
    )
    {
        if (!IsJudged(requester, policy))
            return Verdict.Allowed;
        var left = new Queue<string>(names.Distinct(StringComparer.Ordinal));
        for (var seen = new HashSet<string>(StringComparer.Ordinal); left.TryDequeue(out var name); )
        {
            if (!seen.Add(name))
                continue;
            if (seen.Count > MaxContainers)
                return Refused(
                    policy,
                    "reach",
                    $"{how} reaches into more than {MaxContainers} containers, or names them by too short a part of an "
                        + "ID: write a whole ID"
                );
            if (FindNameProblem(name) is { } problem)
                return Refused(policy, "reach", problem);
            using var place = judged.TryLook(Counted.Reached, name, out var busy);
            if (place is null)
                return Refused(policy, "engine", busy);
            var container = await engine.InspectContainerAsync(name, cancel);
            foreach (var id in await FindOthersAsync(name, container, cancel))
                left.Enqueue(id);
            if (container is null && ContainerNames.IsWholeId(name))
                continue; // the engine says so itself
            if (container is null)
                return Refused(policy, "reach", NoContainer(name));
            if (
                PolicyRules.FindInFile(specs.FromInspect(container, defaults.Runtime), requester, gpus.Devices, policy)
                is [var reason, ..]
            )
                return Refused(
                    policy,
                    reason.Rule,
                    $"{how} reaches into the container {Quoted.Text(name)}, which you could not start on this "
                        + $"machine: {reason.Message}"
                );
            foreach (var joined in container.NamesOfJoined())
                left.Enqueue(joined);
        }
        return Verdict.Allowed;
    }

    /// <summary>What means nothing now may mean anything when the engine looks.</summary>
    public static string NoContainer(string name) => $"there is no container {Quoted.Text(name)}";

    /// <summary>A link's name goes wherever the one goes that has the link: nothing holds it.</summary>
    /// <returns>Null, or what is wrong with the name of a container in a call, for the caller.</returns>
    public static string? FindNameProblem(string name) =>
        name.TrimStart('/').Contains('/')
            ? $"{Quoted.Text(name)} is the name of a link, by which no container is reached on this machine: "
                + "write the container's own name, or its ID"
            : null;

    /// <summary>Whether there is a policy file, and the caller is neither an admin nor exempt.</summary>
    public static bool IsJudged(Requester requester, PolicySettings policy) =>
        !policy.IsBuiltIn
        && !requester.IsAdmin
        && !(requester.Name.Length > 0 && policy.ExemptUsers.Contains(requester.Name));

    /// <summary>What may be the beginning of an ID can come to mean that container between this look and the engine's
    /// own, as soon as no container has it as a name.</summary>
    async ValueTask<IReadOnlyList<string>> FindOthersAsync(
        string name,
        ContainerInspect? found,
        CancellationToken cancel
    ) =>
        name.Length is > 0 and < ContainerNames.IdLength
        && name.All(char.IsAsciiHexDigitLower)
        && found?.Name == "/" + name
            ? [.. (await engine.ListByPrefixAsync(name, cancel)).Take(MaxContainers + 1)]
            : [];

    static Verdict Refused(PolicySettings policy, string rule, string message) =>
        Verdict.RefusedByPolicyFile(policy, rule, message);
}
