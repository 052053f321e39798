// SPDX-License-Identifier: Apache-2.0
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Tests.Admission.Policies;

sealed class PolicyReaderTests
{
    const string Full = """
        {
          "$schema": "https://example.org/policy.schema.json",
          "mode": "enforce",
          "localSocket": "user",
          "admins": ["root", "ada"],
          "onBreach": "stop",
          "unknownRoutes": "deny",
          "requireQuota": true,
          "defaultQuota": "0.1",
          "maxQuota": "0.5",
          "totalQuota": "1",
          "overcommit": 1.5,
          "allowPrivileged": false,
          "allowHostNamespaces": false,
          "allowBindMounts": ["/home/*", "/data"],
          "driverCapabilities": ["compute", "utility"],
          "exempt": { "users": ["ops"], "images": ["monitor:*"] },
          "users": {
            "bob": { "maxQuota": "20g", "totalQuota": "40g" },
            "eve": { "requireQuota": false, "defaultQuota": "1g" }
          }
        }
        """;

    static string[] ProblemsOf(string json) =>
        [.. PolicyReader.Read(Encoding.UTF8.GetBytes(json)).Problems.Select(p => p.ToString())];

    [Test]
    public void Every_key_is_read()
    {
        var (policy, problems) = PolicyReader.Read(Encoding.UTF8.GetBytes(Full));
        Assert.That(problems, Is.Empty);
        Assert.That(policy, Is.Not.Null);
        Assert.Multiple(() =>
        {
            Assert.That(
                (policy!.IsAudit, policy.LocalSocketIsAdmin, policy.StopsViolations, policy.DeniesUnknownRoutes),
                Is.EqualTo((false, false, true, true))
            );
            Assert.That(
                (policy.AllowPrivileged, policy.AllowHostNamespaces, policy.Overcommit),
                Is.EqualTo((false, false, 1.5m))
            );
            Assert.That(
                policy.Limits.ToString(),
                Is.EqualTo("QuotaLimits { RequireQuota = True, DefaultQuota = 0.1, MaxQuota = 0.5, TotalQuota = 1 }")
            );
            Assert.That(policy.AllowBindMounts, Is.EqualTo(new[] { "/home/*", "/data" }));
            Assert.That(policy.DriverCapabilities, Is.EqualTo(new[] { "compute", "utility" }));
            Assert.That(policy.Admins, Is.EquivalentTo(new[] { "root", "ada" }));
            Assert.That(
                policy.LimitsOf(new("bob", false)).ToString(),
                Is.EqualTo("QuotaLimits { RequireQuota = True, DefaultQuota = 0.1, MaxQuota = 20g, TotalQuota = 40g }")
            );
            Assert.That(
                policy.LimitsOf(new("eve", false)).ToString(),
                Is.EqualTo("QuotaLimits { RequireQuota = False, DefaultQuota = 1g, MaxQuota = 0.5, TotalQuota = 1 }")
            );
            Assert.That(policy.LimitsOf(new("", true)), Is.EqualTo(policy.Limits));
        });
    }

    [TestCase("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", true)]
    [TestCase("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde", false)]
    [TestCase("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeF", false)]
    [TestCase("5c0b21a3…", false)]
    [TestCase("*", false)]
    public void An_impossible_image_ID_is_refused(string digits, bool isId) =>
        Assert.That(
            ProblemsOf($$$"""{"exempt":{"images":["monitor:*","sha256:{{{digits}}}"]}}"""),
            isId
                ? Is.Empty
                : Has.Exactly(1)
                    .Matches(
                        "^line 1: exempt.images has \"?sha256:.*, which is no image ID: behind sha256: are 64 "
                            + "hexadecimal digits, see docker image inspect -f '{{.Id}}' IMAGE$"
                    )
        );

    [TestCase(
        """{ "driverCapabilities": ["compute", "Graphics", "all"] }""",
        "line 1: driverCapabilities has Graphics: there are compute, utility, graphics, video, display, compat32, ngx",
        "line 1: driverCapabilities has all: there are compute, utility, graphics, video, display, compat32, ngx"
    )]
    [TestCase(
        """{ "driverCapabilities": [] }""",
        "line 1: driverCapabilities names none: there are compute, utility, graphics, video, display, compat32, ngx"
    )]
    public void Unknown_driver_capabilities_are_refused(string policy, params string[] problems) =>
        Assert.That(ProblemsOf(policy), Is.EqualTo(problems));

    [Test]
    public void An_empty_policy_counts_capacity_and_allows_the_rest()
    {
        var policy = PolicyReader.Read("{}"u8).Policy!;
        Assert.That(
            (
                policy.IsBuiltIn,
                policy.IsAudit,
                policy.LocalSocketIsAdmin,
                policy.AllowPrivileged,
                policy.AllowHostNamespaces,
                policy.AllowBindMounts,
                policy.Overcommit
            ),
            Is.EqualTo((false, false, true, true, true, (IReadOnlyList<string>?)null, (decimal?)1m))
        );
    }

    [Test]
    public void All_problems_are_reported_at_once_with_lines() =>
        Assert.That(
            ProblemsOf(
                """
                {
                  "mode": "strict",
                  "maxquota": "0.5",
                  "maxQuota": "2",
                  "requireQuota": "yes",
                  "admins": ["a", "a", 7, ""],
                  "overcommit": 0,
                  "allowBindMounts": ["home", "/a/../b", "/srv/*/x", "/srv/data"],
                  "exempt": { "groups": [] },
                  "users": { "bob": { "maxQuota": 0.5, "overcommit": 2 }, "bob": {}, "eve": [] },
                  "mode": "audit"
                }
                """
            ),
            Is.EqualTo(
                new[]
                {
                    "line 2: mode must be \"enforce\" or \"audit\"",
                    "line 3: maxquota is not a known key; known keys: $schema, mode, localSocket, admins, onBreach, "
                        + "unknownRoutes, status, overcommit, maxVolumes, allowPrivileged, allowHostNamespaces, "
                        + "allowBindMounts, driverCapabilities, exempt, users, requireQuota, defaultQuota, maxQuota, "
                        + "totalQuota",
                    "line 4: maxQuota is not a valid quota: gpu-memory=2 has no unit: write a fraction of the GPU such "
                        + "as 0.5, or a size with a unit such as 2g (b, k, m, g, t)",
                    "line 5: requireQuota must be true or false",
                    "line 6: admins names a twice",
                    "line 6: admins must be a string",
                    "line 6: admins has an empty text",
                    "line 7: overcommit must be a number above 0 and at most 100",
                    "line 8: allowBindMounts has home, which is no clean absolute path",
                    "line 8: allowBindMounts has /a/../b, which is no clean absolute path",
                    "line 8: allowBindMounts has /srv/*/x, which is below /srv/data: who mounts that could put "
                        + "a link in its place",
                    "line 9: exempt.groups is not a known key; known keys: users, images",
                    "line 10: users.bob.maxQuota must be a string such as \"0.5\" or \"3g\"",
                    "line 10: users.bob.overcommit is not a known key; known keys: requireQuota, defaultQuota, "
                        + "maxQuota, totalQuota",
                    "line 10: users.bob appears twice",
                    "line 10: users.eve must be an object",
                    "line 11: mode appears twice",
                }
            )
        );

    [TestCase("")]
    [TestCase("{")]
    [TestCase("{}x")]
    [TestCase("{}{}")]
    [TestCase("{\n\n\"mode\": audit}")]
    [TestCase("{ // comment\n}")]
    [TestCase("{\"mode\":\"audit\",}")]
    public void Invalid_JSON_is_refused_with_its_line(string json) =>
        Assert.That(ProblemsOf(json).Single(), Does.Match("^line [0-9]+: not JSON: "));

    [TestCase("null")]
    [TestCase("[]")]
    [TestCase("7")]
    public void A_policy_must_be_an_object(string json) =>
        Assert.That(ProblemsOf(json), Is.EqualTo(new[] { "line 1: must be an object" }));

    [Test]
    public void A_file_beyond_the_bound_is_refused_unread() =>
        Assert.That(ProblemsOf(new string(' ', PolicyReader.MaxBytes + 1)).Single(), Does.Contain("longer than"));

    [FsCheck.NUnit.Property(MaxTest = 2000)]
    public bool Any_bytes_are_read_or_refused_without_an_exception(byte[]? file) =>
        PolicyReader.Read(file ?? []) is var (policy, problems) && (policy is null) == (problems.Count > 0);

    [FsCheck.NUnit.Property(MaxTest = 2000)]
    public Property A_policy_with_one_byte_changed_never_throws() =>
        Prop.ForAll(
            Arb.From(Gen.Zip(Gen.Choose(0, 2000), Gen.Choose(0, 255))),
            change =>
            {
                var file = Encoding.UTF8.GetBytes(Full);
                file[change.Item1 % file.Length] = (byte)change.Item2;
                var (policy, problems) = PolicyReader.Read(file);
                return policy is null == problems.Count > 0
                    && problems.All(p => p.Text.Length < 600 && !p.Text.Any(char.IsControl));
            }
        );

    [Test]
    public void Of_too_many_problems_some_are_named() =>
        Assert.That(
            PolicyReader
                .Read(
                    System.Text.Encoding.UTF8.GetBytes(
                        $"{{\"admins\": [{string.Join(',', Enumerable.Repeat("\"\"", 300_000))}]}}"
                    )
                )
                .Problems,
            Has.Count.EqualTo(PolicyJson.MaxProblems)
        );
}
