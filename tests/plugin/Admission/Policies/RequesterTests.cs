// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Admission.Policies;

/// <summary>Who makes a call: by the socket, or by a certificate of any name.</summary>
sealed class RequesterTests : AuthorizerFixture
{
    const string Users =
        """{"localSocket":"user","admins":["ada","unix"],"allowPrivileged":false,"exempt":{"users":["ops"]},"users":{"bob":{"maxQuota":"0.1"}}}""";
    const string Admins =
        """{"localSocket":"admin","admins":["ada","unix"],"allowPrivileged":false,"exempt":{"users":["ops"]},"users":{"bob":{"maxQuota":"0.1"}}}""";

    [TestCase(Users, null, "", "", false)]
    [TestCase(Admins, null, "", "", true)]
    [TestCase(Admins, "", null, "", true)]
    [TestCase(Admins, "", "TLS", "", false, Description = "a certificate without a common name")]
    [TestCase(Admins, null, "TLS", "", false)]
    [TestCase(Users, "ada", "TLS", "ada", true)]
    [TestCase(Users, "unix", "TLS", "unix", true)]
    [TestCase(Admins, " ", "TLS", " ", false)]
    [TestCase(Admins, "ada ", "TLS", "ada ", false)]
    [TestCase(Admins, "Ada", "TLS", "Ada", false)]
    [TestCase(Admins, "ADA", "TLS", "ADA", false)]
    [TestCase(Admins, "a\u0064a\u0000", "TLS", "ada\u0000", false)]
    [TestCase(Admins, "ada\nada", "TLS", "ada\nada", false)]
    [TestCase(Admins, "ad\u0430", "TLS", "ad\u0430", false, Description = "a Cyrillic a")]
    [TestCase(Admins, "socket", "TLS", "socket", false)]
    public void Only_the_certificates_exact_name_counts(
        string policy,
        string? user,
        string? method,
        string name,
        bool isAdmin
    )
    {
        var settings = PolicyReader.Read(System.Text.Encoding.UTF8.GetBytes(policy)).Policy!;
        Assert.That(
            settings.RequesterOf(new AuthZRequest { User = user, UserAuthNMethod = method }),
            Is.EqualTo(new Requester(name, isAdmin))
        );
        Assert.That(
            settings.RequesterOfRecord(name),
            Is.EqualTo(new Requester(name, isAdmin && name.Length > 0)),
            "whether the socket was it no record says"
        );
    }

    [Test]
    public void Names_in_another_case_are_other_names()
    {
        var settings = PolicyReader.Read(System.Text.Encoding.UTF8.GetBytes(Admins)).Policy!;
        foreach (var name in (string[])["", " ", "Bob", "bob ", "bob\0", "Ops", new('b', 100_000)])
            Assert.That(
                (settings.LimitsOf(new(name, false)), settings.IsExempt(new(), new(name, false))),
                Is.EqualTo((settings.Limits, false)),
                name
            );
    }

    /// <summary>At each door: the start too, where it counts.</summary>
    [TestCase("POST", "/containers/joined/start", null)]
    [TestCase("POST", "/containers/joined/restart", null)]
    [TestCase("POST", "/containers/create", """{"Image":"x","HostConfig":{"PidMode":"container:admins"}}""")]
    [TestCase("POST", "/containers/admins/exec", """{"Cmd":["sh"]}""")]
    [TestCase("POST", "/plugins/x/disable", null)]
    [TestCase("POST", "/swarm/init", null)]
    public async Task A_certificate_without_a_name_is_no_user(string method, string uri, string? body)
    {
        File.WriteAllText(Path.Combine(Folder, "gpu-memory.json"), Admins);
        Services.GetRequiredService<PolicySource>().Refresh();
        Engine.Containers["a"] = new()
        {
            Id = new('a', 64),
            Name = "/admins",
            HostConfig = new() { Privileged = true },
        };
        Engine.Containers["b"] = new()
        {
            Id = new('b', 64),
            Name = "/joined",
            HostConfig = new() { PidMode = "container:admins" },
        };
        Assert.That(await BeforeAsync(Call(method, uri, body)), Is.EqualTo("allowed"), "the unix socket");
        Assert.That(
            await BeforeAsync(Call(method, uri, body) with { UserAuthNMethod = "TLS" }),
            Is.Not.EqualTo("allowed")
        );
        Assert.That(
            await BeforeAsync(Call(method, uri, body, user: "ada ") with { UserAuthNMethod = "TLS" }),
            Is.Not.EqualTo("allowed")
        );
    }

    [Test]
    public async Task Any_name_gives_one_bounded_line()
    {
        var user = "x\r\n\u001b[31m" + new string('y', 1 << 20);
        await BeforeAsync(
            Call(
                "POST",
                "/containers/create",
                """{"Image":"x","Labels":{"gpu-memory":"2"},"HostConfig":{"DeviceRequests":[{"Count":1}]}}""",
                user
            ) with
            {
                UserAuthNMethod = "TLS",
            }
        );
        Assert.That(Log.Lines, Has.Some.Contains("denied"));
        Assert.That(Log.Lines, Has.All.Matches<string>(line => line.Length < 8192 && !line.Any(char.IsControl)));
    }
}
