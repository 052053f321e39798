// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges who makes and removes volumes, and what a volume may be.</summary>
sealed class VolumeCalls(IVolumeCatalog volumes, VolumeMakers makers)
{
    /// <summary>Remembers who makes a volume of ours. A volume of the local driver is judged as a bind mount.</summary>
    public Verdict JudgeCreate(AuthZRequest apiCall, PolicySettings policy, Requester requester)
    {
        if (!StrictBodies.Volume.TryRead(apiCall.RequestBody, out var body, out var problem))
            return UnreadableBody.Refuse("volume", problem);
        if (body.Name is { } status && StatusVolume.IsReserved(status))
            return Verdict.Refused("quota-volume", StatusVolume.Refusal(status));
        var foreign = body.Driver is { Length: > 0 } driver && !volumes.IsThisDriver(driver);
        if (foreign && body.Name is { } name && volumes.Find(name) is not null)
            return Verdict.Refused(
                "quota-volume",
                $"the volume {Quoted.Text(name)} is the GPU memory plugin's: take another name"
            );
        if (body is { Name.Length: > 0, Driver.Length: > 0 } && !foreign && volumes.Find(body.Name) is null)
            makers.Expect(body.Name, policy.OwnerOf(apiCall));
        // A local volume can be a bind under another name.
        return
            body.Driver is null or "" or LocalVolume.Driver
            && !policy.ExemptUsers.Contains(requester.Name)
            && PolicyRules.FindHostPath(LocalVolume.HostPaths(body.DriverOpts), policy, "a volume") is { } refusal
            ? Verdict.RefusedByPolicyFile(policy, "bind-mount", refusal)
            : Verdict.Allowed;
    }

    /// <summary>Only admins and its owner may remove a volume of ours. Every other removal is allowed.</summary>
    public Verdict JudgeRemove(AuthZRequest apiCall, EngineRoute route, PolicySettings policy, Requester requester) =>
        requester.IsAdmin
        || volumes.Find(route.Name) is not { } volume
        || (volume.Owner is { } owner && owner == policy.OwnerOf(apiCall))
            ? Verdict.Allowed
            : Verdict.Refused(
                "quota-volume",
                $"the volume {Quoted.Text(route.Name)} carries a quota, and only who made it and admins may "
                    + "remove it on this machine"
            );
}
