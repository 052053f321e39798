// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>Reads a policy file: strictly, and with all its problems at once. A file with a problem is none.</summary>
static class PolicyReader
{
    /// <summary>A longer file is refused unread.</summary>
    public const int MaxBytes = 1 << 20;

    static readonly Dictionary<string, PolicyLimitReader> LimitKeys = new(StringComparer.Ordinal)
    {
        ["requireQuota"] = (QuotaLimits l, ref PolicyJson json) => l with { RequireQuota = json.Bool() },
        ["defaultQuota"] = (QuotaLimits l, ref PolicyJson json) => l with { DefaultQuota = json.Quota() },
        ["maxQuota"] = (QuotaLimits l, ref PolicyJson json) => l with { MaxQuota = json.Quota() },
        ["totalQuota"] = (QuotaLimits l, ref PolicyJson json) => l with { TotalQuota = json.Quota() },
    };

    static readonly Dictionary<string, PolicyKeyReader> ExemptKeys = new(StringComparer.Ordinal)
    {
        ["users"] = (PolicySettings p, ref PolicyJson json) => p with { ExemptUsers = json.Texts().ToHashSet() },
        ["images"] = (PolicySettings p, ref PolicyJson json) => p with { ExemptImages = json.Images() },
    };

    static readonly Dictionary<string, PolicyKeyReader> TopKeys = new(StringComparer.Ordinal)
    {
        ["$schema"] = (PolicySettings p, ref PolicyJson json) =>
        {
            json.Text(); // for editors
            return p;
        },
        ["mode"] = (PolicySettings p, ref PolicyJson json) =>
            p with
            {
                IsAudit = json.OneOf("enforce", "audit") == "audit",
            },
        ["localSocket"] = (PolicySettings p, ref PolicyJson json) =>
            p with
            {
                LocalSocketIsAdmin = json.OneOf("admin", "user") == "admin",
            },
        ["admins"] = (PolicySettings p, ref PolicyJson json) => p with { Admins = json.Texts().ToHashSet() },
        ["onBreach"] = (PolicySettings p, ref PolicyJson json) =>
            p with
            {
                StopsViolations = json.OneOf("report", "stop") == "stop",
            },
        ["unknownRoutes"] = (PolicySettings p, ref PolicyJson json) =>
            p with
            {
                DeniesUnknownRoutes = json.OneOf("allow", "deny") == "deny",
            },
        ["status"] = (PolicySettings p, ref PolicyJson json) =>
            p with
            {
                IsStatusOwn = json.OneOf("all", "own") == "own",
            },
        ["overcommit"] = (PolicySettings p, ref PolicyJson json) => p with { Overcommit = json.Factor() },
        ["maxVolumes"] = (PolicySettings p, ref PolicyJson json) =>
            p with
            {
                MaxVolumes = json.Count(VolumeCatalog.Ceiling),
            },
        ["allowPrivileged"] = (PolicySettings p, ref PolicyJson json) =>
            p with
            {
                AllowPrivileged = json.Bool() ?? true,
            },
        ["allowHostNamespaces"] = (PolicySettings p, ref PolicyJson json) =>
            p with
            {
                AllowHostNamespaces = json.Bool() ?? true,
            },
        ["allowBindMounts"] = (PolicySettings p, ref PolicyJson json) => p with { AllowBindMounts = json.Paths() },
        ["driverCapabilities"] = (PolicySettings p, ref PolicyJson json) =>
            p with
            {
                DriverCapabilities = json.Some(DriverCapabilities.Known),
            },
        ["exempt"] = (PolicySettings p, ref PolicyJson json) => json.Members(p, ExemptKeys),
        ["users"] = (PolicySettings p, ref PolicyJson json) => p with { Users = json.Users(LimitKeys) },
    };

    /// <summary>All keys as paths (<c>users.*.maxQuota</c>), for the check that schema and documentation name them
    /// all.</summary>
    public static IEnumerable<string> Keys =>
        TopKeys
            .Keys.Concat(LimitKeys.Keys)
            .Concat(ExemptKeys.Keys.Select(k => "exempt." + k))
            .Concat(LimitKeys.Keys.Select(k => "users.*." + k));

    /// <summary>Returns a policy, or null with at most <see cref="PolicyJson.MaxProblems"/> problems. Never
    /// throws.</summary>
    public static (PolicySettings? Policy, IReadOnlyList<PolicyProblem> Problems) Read(ReadOnlySpan<byte> file)
    {
        if (file.Length > MaxBytes)
            return (null, [new(1, $"the file is longer than {MaxBytes} bytes")]);
        var json = new PolicyJson(file);
        var policy = new PolicySettings { Overcommit = 1 };
        try
        {
            json.Read();
            policy = json.Members(policy, TopKeys, LimitKeys);
            json.Read(); // throws on anything but white space
        }
        catch (JsonException e)
        {
            json.Problems.Add(
                new((int)(e.LineNumber ?? 0) + 1, $"not JSON: {Quoted.Text(e.Message.Split(". ")[0], 120).Trim('"')}")
            );
        }
        catch (InvalidOperationException)
        {
            json.Problem("not UTF-8");
        }
        return json.Problems.Count == 0 ? (policy, []) : (null, json.Problems);
    }
}
