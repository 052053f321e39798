// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Tests.Admission;

sealed class AuditTests : AuthorizerFixture
{
    const string Rules =
        "\"requireQuota\":true,\"allowPrivileged\":false,\"allowHostNamespaces\":false,\"allowBindMounts\":[],"
        + "\"unknownRoutes\":\"deny\"";

    void HavePolicy(string mode)
    {
        File.WriteAllText(Path.Combine(Folder, "gpu-memory.json"), $$"""{"mode":"{{mode}}",{{Rules}}}""");
        Services.GetRequiredService<PolicySource>().Refresh();
        Log.Lines.Clear();
    }

    [TestCase(
        "/containers/create",
        """{"HostConfig":{"Privileged":true}}""",
        "ContainerCreate",
        "require-quota,privileged"
    )]
    [TestCase("/containers/x/exec", """{"Privileged":true}""", "ExecCreate", "privileged")]
    [TestCase(
        "/volumes/create",
        """{"DriverOpts":{"type":"none","o":"bind","device":"/dev"}}""",
        "VolumeCreate",
        "bind-mount"
    )]
    [TestCase(
        "/services/create",
        """{"TaskTemplate":{"ContainerSpec":{"CapabilityAdd":["SYS_ADMIN"]}}}""",
        "ServiceChange",
        "privileged"
    )]
    [TestCase(
        "/services/create",
        """{"TaskTemplate":{"ContainerSpec":{},"Networks":[{"Target":"host"}]}}""",
        "ServiceChange",
        "host-namespace"
    )]
    [TestCase("/build?networkmode=host", null, "Build", "host-namespace")]
    [TestCase("/v1.99/robots/create", null, "Unknown", "unknown-route")]
    public async Task Audit_only_reports_what_the_file_refuses(string uri, string? body, string route, string rules)
    {
        HavePolicy("audit");
        Assert.That(await BeforeAsync(Call("POST", uri, body)), Is.EqualTo("allowed"));
        Assert.That(
            Log.Lines,
            Has.Exactly(1).Match($"^audit: would be denied {route} user= .* rule={rules} ms=[0-9.]+ reason=.")
        );
        HavePolicy("enforce");
        Assert.That(await BeforeAsync(Call("POST", uri, body)), Is.Not.EqualTo("allowed"));
        Assert.That(Log.Lines, Has.Exactly(1).Match($"^denied {route} user= .* rule={rules} ms=[0-9.]+ reason=."));
    }

    [TestCase("/services/create", """{"TaskTemplate":{"ContainerSpec":{},"Networks":[{"Target":"7yv"}]}}""")]
    [TestCase("/build?networkmode=container:7yv", null)]
    public async Task Audit_only_reports_an_engine_that_does_not_answer(string uri, string? body)
    {
        HavePolicy("audit");
        Engine.Failure = new("no");
        Assert.That(await BeforeAsync(Call("POST", uri, body)), Is.EqualTo("allowed"));
        Assert.That(
            Log.Lines,
            Has.Exactly(1).Contains("audit: would be denied").And.Exactly(1).Contains("rule=engine")
        );
    }

    [TestCase("/services/create", """{"TaskTemplate":{},"tasktemplate":{}}""")]
    [TestCase("/volumes/create", """{"Name":"runai","Driver":"local"}""")]
    public async Task Audit_refuses_what_the_built_in_rules_refuse(string uri, string body)
    {
        HavePolicy("audit");
        Assert.That(await BeforeAsync(Call("POST", uri, body)), Is.Not.EqualTo("allowed"));
    }
}
