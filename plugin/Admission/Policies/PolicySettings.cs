// SPDX-License-Identifier: Apache-2.0
using System.IO.Enumeration;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>What the admin's policy file says; <c>docs/policy.md</c> describes each key.</summary>
sealed record PolicySettings
{
    /// <summary>Without a file: quotas that are asked for are enforced, all else is allowed, and everybody is an
    /// admin.</summary>
    public static PolicySettings BuiltIn { get; } = new() { IsBuiltIn = true };

    /// <summary>There is no policy file.</summary>
    public bool IsBuiltIn { get; init; }

    /// <summary>Why there is no policy to go by although there is a file; null otherwise.</summary>
    public string? Problem { get; init; }

    /// <summary><c>mode</c>: <c>audit</c> allows what the file refuses, and logs it.</summary>
    public bool IsAudit { get; init; }

    /// <summary><c>localSocket</c>: whether who calls on the unix socket is an admin.</summary>
    public bool LocalSocketIsAdmin { get; init; } = true;

    /// <summary><c>admins</c>: common names of TLS client certificates.</summary>
    public IReadOnlySet<string> Admins { get; init; } = new HashSet<string>();

    /// <summary><c>onBreach</c>: whether a container that came another way than by an API call and breaks the policy is
    /// stopped.</summary>
    public bool StopsViolations { get; init; }

    /// <summary><c>unknownRoutes</c>: whether API calls that this version does not know are refused.</summary>
    public bool DeniesUnknownRoutes { get; init; }

    /// <summary><c>status</c>: whether the status shows callers who are not admins no containers of
    /// others.</summary>
    public bool IsStatusOwn { get; init; }

    /// <summary>How many times a GPU's allocatable memory may be promised; null: that is not counted.</summary>
    public decimal? Overcommit { get; init; }

    /// <summary><c>maxVolumes</c>: how many volumes with a quota there may be.</summary>
    public int MaxVolumes { get; init; } = 1000;

    /// <summary><c>allowPrivileged</c>: whether options that bypass every limit are allowed, see
    /// <see cref="HostAccess"/>.</summary>
    public bool AllowPrivileged { get; init; } = true;

    /// <summary><c>allowHostNamespaces</c>: whether a container may share namespaces of the host.</summary>
    public bool AllowHostNamespaces { get; init; } = true;

    /// <summary><c>allowBindMounts</c>: patterns of the host paths that may be mounted, see <see cref="BindPattern"/>;
    /// null: all.</summary>
    public IReadOnlyList<string>? AllowBindMounts { get; init; }

    /// <summary><c>driverCapabilities</c>: those of the NVIDIA driver that a container with a quota may have; null:
    /// all.</summary>
    public IReadOnlyList<string>? DriverCapabilities { get; init; }

    /// <summary><c>exempt.users</c>: TLS names to which the rules of the file do not apply.</summary>
    public IReadOnlySet<string> ExemptUsers { get; init; } = new HashSet<string>();

    /// <summary>Image names with <c>*</c>, or image IDs.</summary>
    public IReadOnlyList<string> ExemptImages { get; init; } = [];

    /// <summary>For everybody whom <see cref="Users"/> does not name.</summary>
    public QuotaLimits Limits { get; init; } = new();

    /// <summary>By the common name of the TLS client certificate. What a user's entry leaves out, <see cref="Limits"/>
    /// says.</summary>
    public IReadOnlyDictionary<string, QuotaLimits> Users { get; init; } = new Dictionary<string, QuotaLimits>();

    /// <summary>In a few words.</summary>
    public string Summary =>
        $"mode {(IsAudit ? "audit" : "enforce")}, callers on the socket are "
        + $"{(LocalSocketIsAdmin ? "admins" : "users")}, {Users.Count} {(Users.Count == 1 ? "user" : "users")} "
        + "with limits of their own";

    /// <summary>Who makes a call. A certificate without a name is not the unix socket.</summary>
    public Requester RequesterOf(AuthZRequest apiCall) =>
        apiCall is { User: null or "", UserAuthNMethod: null or "" }
            ? new("", IsBuiltIn || LocalSocketIsAdmin)
            : RequesterOfRecord(apiCall.User ?? "");

    /// <summary>Who is on record as having started a container. The record of a caller without a name does not say
    /// whether the unix socket was it, so that is no admin.</summary>
    public Requester RequesterOfRecord(string name) =>
        new(name, IsBuiltIn || (name.Length > 0 && Admins.Contains(name)));

    /// <summary>To whom a volume belongs that this call makes; see <see cref="QuotaVolume.Owner"/>. A certificate
    /// without a name owns nothing.</summary>
    public string? OwnerOf(AuthZRequest apiCall) =>
        RequesterOf(apiCall) is not { IsAdmin: false } requester
        || (requester.Name.Length == 0 && apiCall.UserAuthNMethod is { Length: > 0 })
            ? null
            : requester.Name;

    /// <summary>A user's own limits, completed by everybody's.</summary>
    public QuotaLimits LimitsOf(Requester requester) =>
        Users.GetValueOrDefault(requester.Name) is not { } own
            ? Limits
            : new()
            {
                RequireQuota = own.RequireQuota ?? Limits.RequireQuota,
                DefaultQuota = own.DefaultQuota ?? Limits.DefaultQuota,
                MaxQuota = own.MaxQuota ?? Limits.MaxQuota,
                TotalQuota = own.TotalQuota ?? Limits.TotalQuota,
            };

    /// <summary>Whether the rules of the file do not apply, because of the user or of the image.</summary>
    public bool IsExempt(ContainerSpec spec, Requester requester) =>
        (requester.Name.Length > 0 && ExemptUsers.Contains(requester.Name))
        || ExemptImages.Any(pattern =>
            pattern == spec.ImageId || FileSystemName.MatchesSimpleExpression(pattern, spec.Image, ignoreCase: false)
        );

    /// <summary>Whether <c>allowBindMounts</c> allows an entry of <see cref="Engine.LocalVolume.HostPaths"/>.</summary>
    public bool AllowsBind(string hostPath) =>
        AllowBindMounts?.Any(allowed => BindPattern.Matches(allowed, hostPath)) ?? true;
}
