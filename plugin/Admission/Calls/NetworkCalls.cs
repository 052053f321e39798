// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges what containers are given in a network.</summary>
static class NetworkCalls
{
    /// <summary>A name in a network and an address take some hundred bytes.</summary>
    const int MaxConnectBytes = 64 << 10;

    /// <summary>The engine keeps what such a call brings, so calls of megabytes would make a container that takes long
    /// to describe, and never end.</summary>
    public static Verdict JudgeConnect(AuthZRequest apiCall, PolicySettings policy, Requester requester)
    {
        if (
            policy.IsBuiltIn
            || requester.IsAdmin
            || policy.ExemptUsers.Contains(requester.Name)
            || apiCall.HasNoBody
            || apiCall.RequestBody is { Length: > 0 and <= MaxConnectBytes }
        )
            return Verdict.Allowed;
        var what = apiCall.RequestBody is { Length: > 0 } body
            ? $"has {body.Length} bytes"
            : "was not passed on by the engine, as those of megabytes are not";
        return Verdict.RefusedByPolicyFile(
            policy,
            "network-body",
            $"the body of this network connect call {what}, and at most {MaxConnectBytes} are allowed on this "
                + "machine: give the container fewer aliases and driver options"
        );
    }
}
