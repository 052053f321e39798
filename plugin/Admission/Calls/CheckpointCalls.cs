// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges where checkpoints are written and read.</summary>
static class CheckpointCalls
{
    /// <summary>Whoever may name any folder can remove the policy's.</summary>
    public static Verdict Judge(AuthZRequest apiCall, PolicySettings policy, Requester requester)
    {
        if (
            apiCall.RequestMethod != "POST"
            || policy.AllowBindMounts is null
            || policy.ExemptUsers.Contains(requester.Name)
        )
            apiCall.ReleaseBodies();
        if (policy.AllowBindMounts is null || policy.ExemptUsers.Contains(requester.Name))
            return Verdict.Allowed;
        var folders = EngineRoute.QueryValues(apiCall.RequestUri ?? "", "dir");
        if (apiCall.RequestMethod == "POST")
        {
            if (!StrictBodies.Checkpoint.TryRead(apiCall.RequestBody, out var body, out var problem))
                return Verdict.RefusedByPolicyFile(
                    policy,
                    "checkpoint-body",
                    UnreadableBody.Message("checkpoint", problem)
                );
            apiCall.ReleaseBodies();
            folders = folders.Append(body.CheckpointDir ?? "");
        }
        return JudgeFolders(folders, policy, requester);
    }

    /// <summary>A start takes one as well, and whoever may name any can have anything restored.</summary>
    public static Verdict JudgeFolders(IEnumerable<string> folders, PolicySettings policy, Requester requester) =>
        !policy.ExemptUsers.Contains(requester.Name)
        && folders.FirstOrDefault(folder => folder.Length > 0 && !policy.AllowsBind(folder)) is { } found
            ? Verdict.RefusedByPolicyFile(
                policy,
                "bind-mount",
                $"checkpoints in the host's {Quoted.Text(found)} are not allowed on this machine: leave the folder out"
            )
            : Verdict.Allowed;
}
