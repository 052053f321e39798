// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Admission.Calls;

/// <summary>Who reads the status of what.</summary>
sealed class VolumeReadsTests : AuthorizerFixture
{
    const string Own =
            """{ "localSocket": "user", "admins": ["ada"], "exempt": { "users": ["eve"] }, "status": "own" }""",
        All = """{ "localSocket": "user", "admins": ["ada"] }""";

    void Enforce(string policy)
    {
        File.WriteAllText(Path.Combine(Folder, "gpu-memory.json"), policy);
        Services.GetRequiredService<PolicySource>().Refresh();
    }

    Task<string> GetAsync(string uri, string user = "") =>
        BeforeAsync(Call("GET", uri, user: user) with { UserAuthNMethod = user.Length > 0 ? "TLS" : null });

    bool IsLook => Services.GetRequiredService<VolumeLooks>().IsRecent;

    [TestCase("ada", "runai-status", null)]
    [TestCase("ada", "runai-status.bob", null)]
    [TestCase("eve", "runai-status", null)]
    [TestCase("bob", "runai-status.bob", null)]
    [TestCase("ü", "runai-status.x-c3bc", null)]
    [TestCase("bob", "runai", null)]
    [TestCase("", "runai", null)]
    [TestCase("bob", "half", null)]
    [TestCase("bob", "runai-status", "docker volume inspect runai-status.bob")]
    [TestCase("ü", "runai-status", "docker volume inspect runai-status.x-c3bc")]
    [TestCase("", "runai-status", "docker volume inspect runai")]
    [TestCase("", "runai-status.bob", "docker volume inspect runai")]
    [TestCase("", "runai-status.", "docker volume inspect runai")]
    [TestCase("bob", "runai-status.ada", "docker volume inspect runai-status.bob")]
    [TestCase("bob", "runai-status.Bob", "docker volume inspect runai-status.bob")]
    [TestCase("bob", "runai-status.bob/", "docker volume inspect runai-status.bob")]
    [TestCase("bob", "runai-status.x-626f62", "docker volume inspect runai-status.bob")]
    public async Task With_status_own_users_read_only_their_own(string user, string volume, string? remedy)
    {
        Enforce(Own);
        foreach (
            var uri in (string[])
                [
                    $"/volumes/{volume}",
                    $"/v1.41/volumes/{volume}?x=y",
                    $"http://docker/v1.24/volumes/{volume}",
                    $"/v1.41/volume%73/{volume.Replace("status", "s%74atus", StringComparison.Ordinal)}",
                ]
        )
        {
            Assert.That(Authorizer.NeedsDecision("GET", uri), uri);
            Assert.That(
                await GetAsync(uri, user),
                remedy is null ? Is.EqualTo("allowed") : Does.EndWith(": " + remedy),
                uri
            );
        }
        Assert.That(IsLook, Is.EqualTo(remedy is null), "who is refused does not look");
        Assert.That(
            Log.Lines.Where(line => !line.StartsWith("policy", StringComparison.Ordinal)),
            remedy is null ? Is.Empty : Has.Exactly(4).Contains("rule=status-own").And.Exactly(4).Items
        );
    }

    [TestCase("bob", "runai-status", null)]
    [TestCase("", "runai-status", null)]
    [TestCase("bob", "runai-status.bob", null)]
    [TestCase("bob", "runai-status.ada", "docker volume inspect runai-status")]
    public async Task With_status_all_everybody_reads_everything_by_one_name(string user, string volume, string? remedy)
    {
        Enforce(All);
        Assert.That(
            await GetAsync($"/volumes/{volume}", user),
            remedy is null ? Is.EqualTo("allowed") : Does.EndWith(": " + remedy)
        );
    }

    /// <summary>An engine remembers each name.</summary>
    [TestCase("audit")]
    [TestCase("enforce")]
    public async Task In_audit_mode_what_is_an_admins_stays_an_admins(string mode)
    {
        Enforce($$"""{ "localSocket": "user", "status": "own", "mode": "{{mode}}" }""");
        Assert.That(await GetAsync("/volumes/runai-status"), Does.EndWith("docker volume inspect runai"));
    }

    [Test]
    public async Task Without_a_policy_file_everybody_reads_everything()
    {
        foreach (var volume in (string[])["runai-status", "runai-status.bob", "runai"])
            Assert.That(await GetAsync($"/volumes/{volume}"), Is.EqualTo("allowed"));
    }

    [TestCase("GET", "/volumes/data")]
    [TestCase("GET", "/volumes/runai-Status")]
    [TestCase("GET", "/volumes")]
    [TestCase("GET", "/v1.41/volumes/RUNAI")]
    public void Other_volumes_are_nobodys_concern(string method, string uri) =>
        Assert.That(Authorizer.NeedsDecision(method, uri), Is.False);

    /// <summary>The answer to a look does not prolong it, and what the plugin asks itself is none.</summary>
    [Test]
    public async Task A_look_is_somebodys_question()
    {
        await Authorizer.AfterAsync(Call("GET", "/volumes/runai"), CancellationToken.None);
        Assert.That(IsLook, Is.False);
        var own = Services.GetRequiredService<SelfCalls>();
        await BeforeAsync(
            Call("GET", "/volumes/runai") with
            {
                RequestHeaders = new Dictionary<string, string> { [SelfCalls.Header] = own.Secret },
            }
        );
        Assert.That(IsLook, Is.False);
        await GetAsync("/volumes/runai");
        Assert.That(IsLook);
    }

    [TestCase("""{"Name":"runai-status"}""")]
    [TestCase("""{"Name":"runai-status","Driver":"local"}""")]
    [TestCase("""{"Name":"runai-status.bob","Driver":"runai/gpu-memory"}""")]
    public async Task Nobody_makes_a_volume_of_such_a_name(string body) =>
        Assert.That(await BeforeAsync(Call("POST", "/volumes/create", body)), Does.Contain("is read, not made"));

    [TestCase("")]
    [TestCase(""","Labels":{"gpu-memory":"0.5"}""")]
    public async Task Nobody_mounts_one(string label) =>
        Assert.That(
            await BeforeAsync(
                Call(
                    "POST",
                    "/containers/create",
                    $$$"""{"Image":"debian"{{{label}}},"HostConfig":{"Binds":["runai-status:/runai"],"DeviceRequests":[{"Count":1}]}}"""
                )
            ),
            Is.EqualTo("runai-status is read, not made, mounted or removed: docker volume inspect runai-status")
        );

    [Test]
    public async Task Decisions_are_counted_by_the_rule_that_decided()
    {
        Enforce("""{ "maxQuota": "0.2" }""");
        await BeforeAsync(Call("POST", "/containers/create", Good));
        await BeforeAsync(Call("POST", "/containers/create", Good.Replace("0.5", "0.1", StringComparison.Ordinal)));
        await BeforeAsync(Call("POST", "/containers/create", Good.Replace("0.5", "0.1", StringComparison.Ordinal)));
        await BeforeAsync(Call("POST", "/containers/create", """{"Image":"debian"}"""));
        Assert.That(
            Services.GetRequiredService<DecisionCounts>().All(),
            Is.EqualTo(new[] { (new DecisionKind(false, "max-quota"), 1L), (new DecisionKind(true, "quota"), 2L) })
        );
    }
}
