// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Judges who reads which status: <c>docker volume inspect</c> of the plugin's volumes.</summary>
sealed class VolumeReads(IVolumeCatalog volumes, VolumeLooks looks)
{
    const string Rule = "status-own";

    /// <summary>Of other volumes the plugin has nothing to say.</summary>
    public bool IsOurs(string volume) => StatusVolume.IsReserved(volume) || volumes.Find(volume) is not null;

    /// <summary>The look is noted for the volume driver, which the engine asks next.</summary>
    public Verdict Judge(AuthZRequest apiCall, string volume, PolicySettings policy)
    {
        var requester = policy.RequesterOf(apiCall);
        var verdict =
            requester.IsAdmin || (requester.Name.Length > 0 && policy.ExemptUsers.Contains(requester.Name))
                ? Verdict.Allowed
                : JudgeUser(requester.Name, volume, policy);
        if (verdict.IsAllowed)
            looks.Note();
        return verdict;
    }

    static Verdict JudgeUser(string user, string volume, PolicySettings policy)
    {
        if (!StatusVolume.IsReserved(volume) || (user.Length > 0 && volume == StatusVolume.Of(user)))
            return Verdict.Allowed;
        if (volume != StatusVolume.Name)
            return Verdict.Refused(
                Rule,
                $"{Quoted.Text(volume, 160)} is for that user and for admins: docker volume inspect "
                    + (policy.IsStatusOwn ? Own(user) : StatusVolume.Name)
            );
        return policy.IsStatusOwn
            ? Verdict.Refused(
                Rule,
                "the containers of all users are for admins on this machine (\"status\": \"own\" in the policy): "
                    + $"docker volume inspect {Own(user)}"
            )
            : Verdict.Allowed;
    }

    /// <summary>What this caller may read. Who has no name sees the GPUs' sums.</summary>
    static string Own(string user) => user.Length > 0 ? StatusVolume.Of(user) : VolumeCatalog.Everyone;
}
