// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>A policy as people read it: every key with its value, also where the file does not say it.</summary>
static class PolicyText
{
    const int MaxUsers = 20,
        MaxNames = 10;

    /// <summary>Whole: <c>sha256:</c> and 64 digits.</summary>
    const int MaxImage = 80;
    const string None = "none";

    /// <summary>Names of people are for admins.</summary>
    static readonly (string Key, Func<PolicySettings, string> Value, bool IsOfAdmins)[] Rows =
    [
        ("mode", p => p.IsAudit ? "audit" : "enforce", false),
        ("localSocket", p => p.LocalSocketIsAdmin ? "admin" : "user", false),
        ("admins", p => List(p.Admins), true),
        ("onBreach", p => p.StopsViolations ? "stop" : "report", false),
        ("unknownRoutes", p => p.DeniesUnknownRoutes ? "deny" : "allow", false),
        ("status", p => p.IsStatusOwn ? "own" : "all", false),
        ("overcommit", p => p.Overcommit?.ToString(CultureInfo.InvariantCulture) ?? None, false),
        ("maxVolumes", p => p.MaxVolumes.ToString(CultureInfo.InvariantCulture), false),
        ("allowPrivileged", p => Flag(p.AllowPrivileged), false),
        ("allowHostNamespaces", p => Flag(p.AllowHostNamespaces), false),
        ("allowBindMounts", p => p.AllowBindMounts is { } paths ? List(paths) : "all", false),
        ("driverCapabilities", p => p.DriverCapabilities is { } names ? List(names) : "all", false),
        ("requireQuota", p => Flag(p.Limits.RequireQuota == true), false),
        ("defaultQuota", p => p.Limits.DefaultQuota?.Text ?? None, false),
        ("maxQuota", p => p.Limits.MaxQuota?.Text ?? None, false),
        ("totalQuota", p => p.Limits.TotalQuota?.Text ?? None, false),
        ("exempt.users", p => List(p.ExemptUsers), true),
        ("exempt.images", p => List(p.ExemptImages, MaxImage), false),
    ];

    /// <summary>For the check that no key is missing.</summary>
    public static IEnumerable<string> Keys => Rows.Select(row => row.Key);

    /// <summary>A row for each key, then one for each user with limits, at most 20.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="reader">Who reads it: who is no admin sees no other people's names and limits.</param>
    public static IEnumerable<(string Key, string Value)> Of(PolicySettings policy, Requester reader)
    {
        foreach (var (key, value, isOfAdmins) in Rows)
            if (reader.IsAdmin || !isOfAdmins)
                yield return (key, value(policy));
        var users = policy
            .Users.Where(user => reader.IsAdmin || user.Key == reader.Name)
            .OrderBy(user => user.Key, StringComparer.Ordinal)
            .ToArray();
        foreach (var (name, limits) in users.Take(MaxUsers))
            yield return ($"users.{Quoted.Text(name)}", Own(limits));
        if (users.Length > MaxUsers)
            yield return ("users", $"and {users.Length - MaxUsers} more");
    }

    /// <summary>What a user's entry says itself.</summary>
    static string Own(QuotaLimits limits) => Of(limits) is { Length: > 0 } text ? text : "as everybody";

    /// <summary>Empty where nothing is said.</summary>
    public static string Of(QuotaLimits limits)
    {
        string?[] own =
        [
            limits.RequireQuota is { } requires ? $"requireQuota {Flag(requires)}" : null,
            limits.DefaultQuota is { } usual ? $"defaultQuota {usual}" : null,
            limits.MaxQuota is { } max ? $"maxQuota {max}" : null,
            limits.TotalQuota is { } total ? $"totalQuota {total}" : null,
        ];
        return string.Join(", ", own.OfType<string>());
    }

    static string Flag(bool value) => value ? "true" : "false";

    static string List(IEnumerable<string> names, int longest = Quoted.MaxLength)
    {
        var all = names.Order(StringComparer.Ordinal).Select(name => Quoted.Text(name, longest)).ToArray();
        if (all.Length == 0)
            return None;
        var first = string.Join(", ", all.Take(MaxNames));
        return all.Length > MaxNames ? $"{first} and {all.Length - MaxNames} more" : first;
    }
}
