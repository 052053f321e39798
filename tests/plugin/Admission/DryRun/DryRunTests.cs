// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.DryRun;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Tests.Admission.DryRun;

/// <summary>Calls that are not to be done.</summary>
sealed class DryRunTests : AuthorizerFixture
{
    const string Whole = """{"Image":"debian","HostConfig":{"DeviceRequests":[{"Count":1}]}}""";
    const string Create = "/v1.41/containers/create";

    static string Base64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));

    static AuthZRequest Ask(
        string method,
        string uri,
        string? body = null,
        string user = "",
        string what = "call",
        string? asUser = null,
        string? policy = null
    )
    {
        var headers = new Dictionary<string, string> { [DryRunRequest.Header] = what };
        if (asUser is not null)
            headers[DryRunRequest.UserHeader] = Base64(asUser);
        if (policy is not null)
            headers[DryRunRequest.PolicyHeader] = Base64(policy);
        return Call(method, uri, body, user) with { RequestHeaders = headers };
    }

    void HavePolicy(string text)
    {
        File.WriteAllText(Path.Combine(Folder, "gpu-memory.json"), text);
        Services.GetRequiredService<PolicySource>().Refresh();
    }

    void Know() => Services.GetRequiredService<IGpuReservations>().KeepOnly(new HashSet<string>(), 0);

    void HaveImage(string name, string? env = null) =>
        Engine.Images[name] = new()
        {
            Id = "sha256:1",
            Config = new() { Env = env is null ? null : [env] },
        };

    [Test]
    public async Task An_allowed_call_is_described_by_GPU()
    {
        HaveImage("debian");
        Assert.That(
            await BeforeAsync(Ask("POST", Create, Good, "alice")),
            Is.EqualTo(
                """
                would be allowed
                  caller   alice, an admin
                  policy   in force, no file: quotas that are asked for are enforced, all else is allowed
                  image    debian
                  GPU      --gpus
                  quota    0.5
                  GPU 0    69.8g of 139.7g (75054448640 bytes), GPU-11111111-0000 NVIDIA H200
                nothing was done: this was a question
                """
            )
        );
        Assert.That(
            Log.Lines.Single(),
            Does.Match(
                "^asked about ContainerCreate user=alice container= image=debian gpu=--gpus quota=0.5 "
                    + "rule=allowed ms=[0-9.]+$"
            )
        );
    }

    [Test]
    public async Task A_refused_call_is_described_with_every_rule()
    {
        HaveImage("debian");
        HavePolicy("""{"requireQuota":true,"localSocket":"user","allowPrivileged":false}""");
        Know();
        var answer = await BeforeAsync(Ask("POST", Create, """{"Image":"debian","HostConfig":{"Privileged":true}}"""));
        Assert.That(
            answer,
            Does.StartWith(
                    "would be refused\n  refused  by require-quota: a container with a GPU (--privileged) needs a quota"
                )
                .And.Contains("  refused  by privileged: --privileged is not allowed")
        );
        Assert.That(
            answer,
            Does.Contain("  caller   a caller on the Unix socket, no admin\n  policy   in force, mode enforce")
        );
        Assert.That(answer, Does.Contain("  GPU 1    10.7g, 10.7g free for quotas, GPU-22222222-0000"));
    }

    [Test]
    public async Task In_audit_mode_both_are_described()
    {
        HavePolicy("""{"requireQuota":true,"mode":"audit"}""");
        Assert.That(
            await BeforeAsync(Ask("POST", Create, Whole)),
            Does.StartWith("would be allowed\n  audit    the policy would refuse it by require-quota: ")
                .And.Contain("  GPU 0    all of 139.7g, without a quota, ")
        );
    }

    [Test]
    public async Task A_dry_run_takes_another_user_and_policy()
    {
        HavePolicy("""{"users":{"bob":{"maxQuota":"0.1"}}}""");
        Assert.That(await BeforeAsync(Ask("POST", Create, Good)), Does.StartWith("would be allowed"));
        Assert.That(
            await BeforeAsync(Ask("POST", Create, Good, asUser: "bob")),
            Does.StartWith(
                    "would be refused\n  refused  by max-quota: gpu-memory=0.5 is more than you may have on "
                        + "one GPU, 0.1"
                )
                .And.Contain("  caller   bob, no admin")
        );
        Assert.That(
            await BeforeAsync(Ask("POST", Create, Good, asUser: "bob", policy: "{}")),
            Does.StartWith("would be allowed").And.Contain("  policy   the one given, mode enforce")
        );
        Assert.That(
            await BeforeAsync(Ask("POST", Create, Good, asUser: "")),
            Does.Contain("  caller   a caller on the Unix socket, an admin")
        );
    }

    [Test]
    public async Task The_limits_that_apply_are_named()
    {
        HavePolicy("""{"maxQuota":"1","users":{"bob":{"totalQuota":"2g"}}}""");
        foreach (
            var (user, limits) in ((string, string)[])
                [
                    ("bob", "of users.bob: maxQuota 1, totalQuota 2g"),
                    ("bbo", "of all users, as users has no bbo: maxQuota 1"),
                    ("", "of all users: maxQuota 1"),
                ]
        )
            Assert.That(
                await BeforeAsync(Ask("POST", Create, Good, asUser: user)),
                Does.Contain($"\n  limits   {limits}\n")
            );
        HavePolicy("{}");
        Assert.That(await BeforeAsync(Ask("POST", Create, Good)), Does.Contain("\n  limits   of all users: none\n"));
    }

    [Test]
    public async Task Users_may_not_ask_for_others()
    {
        HavePolicy("""{"localSocket":"user"}""");
        foreach (
            var call in (AuthZRequest[])
                [
                    Ask("POST", Create, Good, asUser: "ada"),
                    Ask("POST", Create, Good, policy: "{}"),
                    Ask("POST", Create, Good, user: "bob", asUser: "ada"),
                ]
        )
            Assert.That(
                await BeforeAsync(call),
                Does.StartWith(
                    "cannot be answered: only admins may ask for another user, or with another policy, on "
                        + "this machine: use a certificate of one of \"admins\" in its policy file\nnothing"
                )
            );
        Assert.That(await BeforeAsync(Ask("POST", Create, Good, "bob")), Does.StartWith("would be allowed"));
    }

    [Test]
    public async Task A_policy_file_can_be_asked_about_alone()
    {
        Assert.That(
            await BeforeAsync(Ask("POST", "/containers/x/wait", what: "policy")),
            Is.EqualTo(
                "no policy file: quotas that are asked for are enforced, all else is allowed\nnothing was "
                    + "done: this was a question"
            )
        );
        Assert.That(
            await BeforeAsync(Ask("POST", "/containers/x/wait", what: "policy", policy: """{"mode":"audit"}""")),
            Does.StartWith("a policy\n  mode                 audit\n")
        );
        Assert.That(
            await BeforeAsync(Ask("POST", "/containers/x/wait", what: "policy", policy: "{\n\"mode\": 1,\n\"a\": 2}")),
            Does.StartWith("refused\n  line 2: mode must be \"enforce\" or \"audit\"\n  line 3: a is not a known key")
        );
        HavePolicy("""{"mode":7}""");
        Assert.That(
            await BeforeAsync(Ask("POST", "/containers/x/wait", what: "policy")),
            Is.EqualTo(
                "refused: the file on disk, and there was no good one before: no container with a GPU or a "
                    + "quota runs\n  line 1: mode must be \"enforce\" or \"audit\"\nnothing was done: this was a "
                    + "question"
            )
        );
    }

    [Test]
    public async Task The_policy_is_shown_with_the_files_problems()
    {
        var image = "sha256:" + new string('3', 64);
        HavePolicy($$$"""{"maxQuota":"0.5","users":{"bob":{"maxQuota":"1"}},"exempt":{"images":["{{{image}}}"]}}""");
        var good = await BeforeAsync(Ask("POST", "/containers/x/wait", what: "policy"));
        Assert.That(good, Does.Contain($"\n  exempt.images        {image}\n"));
        Assert.That(
            good,
            Does.Match(@"^a policy\n  in force since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n  mode ")
                .And.Contain("\n  maxQuota             0.5\n")
                .And.Contain("\n  users.bob            maxQuota 1\n")
        );
        HavePolicy("{\"maxQuota\":\"0.1\",\n\"a\":1,\n\"b\":2}");
        var refused = await BeforeAsync(Ask("POST", "/containers/x/wait", what: "policy"));
        Assert.That(
            refused,
            Does.StartWith(
                    "refused: the file on disk; the last good policy stays in force\n  line 2: a is not a known key"
                )
                .And.Contain("\n  line 3: b is not a known key")
                .And.EndsWith(good["a policy\n".Length..])
        );
        Assert.That(await BeforeAsync(Ask("POST", Create, Good)), Does.StartWith("would be allowed"), "it is in force");
        HavePolicy("{}");
        Assert.That(
            await BeforeAsync(Ask("POST", "/containers/x/wait", what: "policy")),
            Does.StartWith("a policy\n").And.Contain("maxQuota             none")
        );
    }

    [Test]
    public async Task Users_read_no_names_of_others()
    {
        HavePolicy(
            """{"localSocket":"user","admins":["ada"],"exempt":{"users":["root"]},"users":{"bob":{"maxQuota":"1"},"eve":{"maxQuota":"0.1"}}}"""
        );
        Assert.That(
            await BeforeAsync(Ask("POST", "/containers/x/wait", what: "policy", user: "bob")),
            Does.Contain("users.bob ").And.Not.Contain("eve").And.Not.Contain("ada").And.Not.Contain("root")
        );
        Assert.That(
            await BeforeAsync(Ask("POST", "/containers/x/wait", what: "policy", user: "ada")),
            Does.Contain("users.bob ").And.Contain("users.eve ").And.Contain("admins               ada")
        );
    }

    [TestCase("call", "***", null)]
    [TestCase("call", null, "***")]
    [TestCase("maybe", null, null)]
    [TestCase("", null, null)]
    public async Task An_invalid_dry_run_does_nothing(string what, string? user, string? policy)
    {
        var headers = new Dictionary<string, string> { ["x-gpu-memory-ask"] = what };
        if (user is not null)
            headers[DryRunRequest.UserHeader] = user;
        if (policy is not null)
            headers[DryRunRequest.PolicyHeader] = policy;
        Assert.That(
            await BeforeAsync(Call("POST", "/containers/x/stop") with { RequestHeaders = headers }),
            Does.StartWith("cannot be answered: the header ").And.EndsWith(DryRunReport.End)
        );
    }

    [Test]
    public async Task Calls_that_change_something_are_never_carried_out()
    {
        foreach (var (method, pattern, _) in EngineRoutes.All)
            Assert.That(
                await BeforeAsync(Ask(method, pattern.Replace('*', 'x'), "{}")),
                method is "GET" or "HEAD" or "OPTIONS" ? Is.EqualTo("allowed") : Does.EndWith(DryRunReport.End),
                $"{method} {pattern}"
            );
        Assert.That(await BeforeAsync(Ask("PATCH", "/new/call")), Does.EndWith(DryRunReport.End));
        Assert.That(Engine.Calls, Has.None.StartsWith("put").And.None.StartsWith("remove"));
    }

    [Test]
    public async Task The_image_alone_can_ask_for_a_GPU()
    {
        Engine.Info = new() { DefaultRuntime = "nvidia" };
        HaveImage("cuda", "NVIDIA_VISIBLE_DEVICES=all");
        HavePolicy("""{"requireQuota":true}""");
        Assert.That(
            await BeforeAsync(Ask("POST", Create, """{"Image":"cuda"}""")),
            Does.StartWith(
                "would be refused\n  refused  by require-quota: a container with a GPU "
                    + "(NVIDIA_VISIBLE_DEVICES=all) needs"
            )
        );
        Assert.That(
            await BeforeAsync(Ask("POST", Create, """{"Image":"elsewhere"}""")),
            Does.StartWith("would be allowed")
                .And.Contain("  image    elsewhere, not known here, so what it adds is not counted in")
        );
    }

    [TestCase("start")]
    [TestCase("restart")]
    public async Task A_dry_run_of_a_start_holds_nothing(string verb)
    {
        Have("0.5");
        Know();
        Engine.Containers[Id] = Engine.Containers[Id] with
        {
            HostConfig = new() { DeviceRequests = [new() { Count = 1 }] },
        };
        HavePolicy("{}");
        for (var i = 0; i < 3; i++)
            Assert.That(
                await BeforeAsync(Ask("POST", $"/containers/web/{verb}")),
                Does.StartWith("would be allowed").And.Contain("139.7g free for quotas"),
                "0.5 three times"
            );
        HavePolicy("""{"maxQuota":"0.1"}""");
        Assert.That(
            await BeforeAsync(Ask("POST", $"/containers/web/{verb}")),
            Does.StartWith("would be refused\n  refused  by max-quota")
        );
        Assert.That(
            await BeforeAsync(Ask("POST", $"/containers/nobody/{verb}")),
            Does.StartWith("cannot be answered: there is no container nobody")
        );
        Assert.That(Engine.Files, Is.Empty, "no preload is put");
        Engine.Failure = new("connection refused");
        Assert.That(
            await BeforeAsync(Ask("POST", $"/containers/web/{verb}")),
            Does.StartWith("cannot be answered: the GPU memory plugin could not learn")
        );
    }

    [Test]
    public async Task The_holdings_of_others_count()
    {
        Have("1");
        HavePolicy("{}");
        Know();
        Engine.Containers[Id] = Engine.Containers[Id] with
        {
            HostConfig = new() { DeviceRequests = [new() { Count = 1 }] },
        };
        Assert.That(await BeforeAsync(Call("POST", "/containers/web/start")), Is.EqualTo("allowed"));
        Assert.That(
            await BeforeAsync(Ask("POST", Create, Good)),
            Does.StartWith(
                    "would be refused\n  refused  by capacity: GPU 0 (NVIDIA H200) has 0b left for "
                        + "gpu-memory=0.5 (69.8g): web holds 1 (139.7g)"
                )
                .And.Contain(", 0b free for quotas, ")
        );
    }

    [Test]
    public async Task Other_calls_are_judged_by_their_own_rules()
    {
        HavePolicy("""{"localSocket":"user","allowPrivileged":false}""");
        Assert.That(
            await BeforeAsync(Ask("POST", "/containers/web/exec", """{"Privileged":true}""")),
            Does.StartWith("would be refused\n  refused  by privileged: docker exec --privileged")
        );
        Assert.That(
            await BeforeAsync(Ask("POST", "/plugins/x/disable")),
            Does.StartWith("would be refused\n  refused  by plugins: ")
        );
        Assert.That(
            await BeforeAsync(Ask("POST", "/images/create?fromImage=debian")),
            Does.StartWith("would be allowed")
        );
        Assert.That(
            await BeforeAsync(Ask("POST", Create, "{")),
            Does.StartWith("would be refused\n  refused  by create-body: ")
        );
    }
}
