// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges where the steps of a build are to run.</summary>
sealed class BuildCalls(IEngineClient engine, ContainerReach reach)
{
    /// <summary>Judges a build by the control group and the networks that its URI names. The steps of the classic
    /// builder make no other call. Throws <see cref="EngineException"/>.</summary>
    public async ValueTask<Verdict> JudgeAsync(
        AuthZRequest apiCall,
        PolicySettings policy,
        Requester requester,
        CancellationToken cancel
    )
    {
        foreach (var parent in EngineRoute.QueryValues(apiCall.RequestUri ?? "", "cgroupparent"))
            if (PolicyRules.FindForeignControlGroup(parent) is { } problem)
                return Verdict.Refused("cgroup-parent", problem);
        if (policy.ExemptUsers.Contains(requester.Name) || (policy.AllowHostNamespaces && requester.IsAdmin))
            return Verdict.Allowed;
        var modes = EngineRoute.QueryValues(apiCall.RequestUri ?? "", "networkmode").ToArray();
        if (modes.Sum(mode => (long)mode.Length) > CallBounds.MaxUriLength)
            return Verdict.Refused(
                "call-length",
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"the networks that this build call names are longer than {CallBounds.MaxUriLength} characters: "
                        + $"name one network"
                )
            );
        apiCall.ReleaseAll();
        foreach (var mode in policy.AllowHostNamespaces ? [] : modes)
            if (
                mode == "host"
                || (
                    mode.StartsWith("container:", StringComparison.Ordinal)
                    && await engine.InspectContainerAsync(mode["container:".Length..], cancel)
                        is { HostConfig.NetworkMode: "host" }
                )
            )
                return Verdict.RefusedByPolicyFile(
                    policy,
                    "host-namespace",
                    $"docker build --network {Quoted.Text(mode)} is not allowed on this machine: leave it out, "
                        + "or ask an admin to exempt you"
                );
        var joined = modes.SelectMany(mode => new HostConfig { NetworkMode = mode }.NamesOfJoined()).ToArray();
        // The builder looks for the container at each step.
        if (
            ContainerReach.IsJudged(requester, policy)
            && Array.Find(joined, name => !ContainerNames.IsWholeId(name)) is { } moving
        )
            return Verdict.RefusedByPolicyFile(
                policy,
                "reach",
                $"docker build --network container:{Quoted.Text(moving)} could come to mean another container "
                    + "while it builds: write the whole ID (docker inspect -f '{{.Id}}')"
            );
        return await reach.JudgeAsync("docker build --network", joined, requester, policy, cancel);
    }
}
