// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Nodes;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>Callers with TLS client certificates beside callers on the socket.</summary>
[TestFixture(Engines.Newest)]
sealed class TlsTests(string version) : PolicyFixture(version), IDisposable
{
    const int Port = 2376; // in a network namespace of the engine's own

    readonly ClientCertificates _certificates = new();
    readonly Dictionary<string, string> _folders = [];

    protected override string PolicyFile =>
        """
            { "requireQuota": true, "localSocket": "user", "admins": ["ada"], "exempt": {"users": ["ada"]}, "maxQuota": "0.5", "allowPrivileged": false, "status": "own",
              "users": { "bob": { "maxQuota": "0.2", "totalQuota": "0.3" }, "eve": { "defaultQuota": "0.1" } } }
            """;

    protected override string[] Flags => [.. _certificates.Flags, "-H", $"tcp://127.0.0.1:{Port}"];

    public void Dispose() => _certificates.Dispose();

    /// <param name="name">The caller's common name; null: none.</param>
    /// <param name="arguments">Of <c>docker</c>.</param>
    Output As(string? name, params IEnumerable<string> arguments)
    {
        if (!_folders.TryGetValue(name ?? "", out var folder))
            _folders[name ?? ""] = folder = _certificates.Of(name);
        return Engine.InNetwork([
            "env",
            $"DOCKER_CERT_PATH={folder}",
            "DOCKER_TLS_VERIFY=1",
            $"DOCKER_HOST=tcp://127.0.0.1:{Port}",
            Engine.Cli,
            .. arguments,
        ]);
    }

    Output RunAs(string? name, string quota, params IEnumerable<string> more) =>
        As(
            name,
            [
                "run",
                "--network",
                "none",
                "--gpus",
                "1",
                "-v",
                "runai:/runai",
                .. quota.Length == 0 ? [] : (string[])["--label", $"gpu-memory={quota}"],
                .. more,
            ]
        );

    const string OfAdmins = "only admins may change plugins on this machine";

    [TestCase("ada", true)]
    [TestCase("bob", false)]
    [TestCase(null, false, Description = "a certificate without a common name")]
    [TestCase("ADA", false)]
    [TestCase("ada ", false)]
    [TestCase("*", false)]
    [TestCase("ada\nada", false)]
    [TestCase("ad\u0430", false, Description = "a Cyrillic a")]
    public void Only_an_admins_certificate_makes_an_admin(string? name, bool isAdmin) =>
        Assert.That(
            As(name, "plugin", "disable", "none").Error,
            isAdmin ? Does.Contain("not found") : Does.Contain(OfAdmins)
        );

    [Test]
    public void Callers_on_the_socket_are_no_admins() =>
        Assert.That(Engine.Docker("plugin", "disable", "none").Error, Does.Contain(OfAdmins));

    [Test]
    public void A_certificates_name_decides_the_limits()
    {
        Assert.That(
            RunAs("bob", "0.3", Image, "true").Error,
            Does.Contain("gpu-memory=0.3 is more than you may have on one GPU, 0.2")
        );
        RunAs("bob", "0.2", "-d", "--name", "first", Image, "sleep", "300").Ok();
        Assert.That(
            RunAs("bob", "0.2", Image, "true").Error,
            Does.Contain("is more than is left of your 0.3 (3.2g)").And.Contain("first holds 0.2")
        );
        Assert.That(RunAs("Bob", "0.3", [Image, .. SmiQuery]).Ok(), Does.StartWith($"{Part(0.3m)},"), "another name");
        Assert.That(RunAs("eve", "", [Image, .. SmiQuery]).Ok(), Does.StartWith($"{Part(0.1m)},"));
        Assert.That(RunAs(null, "", Image, "true").Error, Does.Contain("the runai volume needs a quota"));
    }

    [Test]
    public void Users_enter_only_containers_they_may_start()
    {
        As("ada", "run", "-d", "--network", "none", "--name", "admins", "--privileged", Image, "sleep", "300").Ok();
        RunAs("carol", "0.5", "-d", "--name", "carols", Image, "sleep", "300").Ok();
        foreach (var name in (string?[])["bob", null])
            Assert.That(
                As(name, "exec", "admins", "true").Error,
                Does.Contain("admins, which you could not start"),
                name
            );
        Assert.That(As("bob", "exec", "carols", "true").Error, Does.Contain("carols, which you could not start"));
        Assert.That(
            As("bob", "restart", "-t0", "carols").Error,
            Does.Contain("gpu-memory=0.5 is more than you may have")
        );
        As("ada", "exec", "carols", "true").Ok();
        As("carol", "exec", "carols", "true").Ok();
    }

    [Test]
    public void Users_see_their_containers_and_the_sums()
    {
        RunAs("bob", "0.2", "-d", "--name", "bobs", Image, "sleep", "300").Ok();
        RunAs("carol", "0.5", "-d", "--name", "carols", Image, "sleep", "300").Ok();
        RunAs(null, "0.1", "-d", "--name", "nobodys", Image, "sleep", "300").Ok();
        string Names(Output output) => output.Ok().Trim('\'');
        Output Inspect(string? name, string volume) =>
            RunVolume(name, "inspect", "-f", "{{range .Status.Containers}}{{.Name}} {{.User}},{{end}}", volume);
        Assert.That(Names(Inspect("ada", "runai-status")), Is.EqualTo("bobs bob,carols carol,nobodys <no value>,"));
        Assert.That(Names(Inspect("bob", "runai-status.bob")), Is.EqualTo("bobs bob,"));
        Assert.That(Names(Inspect("ada", "runai-status.carol")), Is.EqualTo("carols carol,"));
        foreach (var volume in (string[])["runai-status", "runai-status.carol", "runai-status.Bob"])
            Assert.That(Inspect("bob", volume).Error, Does.Contain("docker volume inspect runai-status.bob"), volume);
        foreach (var name in (string?[])[null, "BOB"])
            Assert.That(Inspect(name, "runai-status.bob").Code, Is.Not.Zero, name);
        Assert.That(Inspect(null, "runai-status").Error, Does.Contain("docker volume inspect runai"));
        Assert.That(
            RunVolume(
                    null,
                    "inspect",
                    "-f",
                    "{{.Status.ContainerCount}} " + "{{(index .Status.Gpus 0).Containers}}",
                    "runai"
                )
                .Ok(),
            Is.EqualTo("3 3")
        );
        Assert.That(Engine.Log, Does.Contain("user=bob container=runai-status.carol").And.Contain("rule=status-own"));
        ExpectTables();
    }

    /// <summary>The wrapper follows a refusal to what its caller may read.</summary>
    void ExpectTables()
    {
        Engine.InstallCliPlugin("docker-runai", Repository.Wrapper);
        string[] Json(string? name, string command, string column) =>
            [
                .. As(name, "runai", command, "--format", "json")
                    .Ok()
                    .Split('\n', StringSplitOptions.RemoveEmptyEntries)
                    .Select(line => $"{JsonNode.Parse(line)![column]}"),
            ];
        Assert.That(Json("ada", "ps", "Name"), Is.EqualTo((string[])["bobs", "carols", "nobodys"]));
        Assert.That(Json("bob", "ps", "Name"), Is.EqualTo((string[])["bobs"]));
        Assert.That(Json("carol", "ps", "Name"), Is.EqualTo((string[])["carols"]));
        Assert.That(Json("BOB", "ps", "Name"), Is.Empty);
        foreach (var name in (string?[])["ada", "bob", "BOB", null])
        {
            Assert.That(Json(name, "gpus", "Containers"), Is.EqualTo((string[])["3"]), name);
            Assert.That(Json(name, "gpus", "PromisedBytes"), Is.EqualTo(Json("ada", "gpus", "PromisedBytes")), name);
        }
        var sums = As(null, "runai", "ps");
        Assert.That(sums.Ok(), Does.StartWith("GPU ").And.Not.Contain("bobs").And.Not.Contain("nobodys"));
        Assert.That(sums.Error, Does.StartWith("the policy (\"status\": \"own\") shows you the GPUs' sums only"));
    }

    [Test]
    public void The_maker_of_a_volume_may_remove_it()
    {
        RunVolume("bob", "create", "-d", Plugin, "-o", "gpu-memory=0.1", "bobs").Ok();
        RunVolume(null, "create", "-d", Plugin, "-o", "gpu-memory=0.1", "nobodys").Ok();
        foreach (var name in (string?[])["carol", "BOB", null])
            Assert.That(
                RunVolume(name, "rm", "bobs").Error,
                Does.Contain("only who made it and admins may remove it"),
                name
            );
        Assert.That(RunVolume(null, "rm", "nobodys").Error, Does.Contain("only who made it and admins may remove it"));
        RunVolume("bob", "rm", "bobs").Ok();
        RunVolume("ada", "rm", "nobodys").Ok();
    }

    Output RunVolume(string? name, params IEnumerable<string> arguments) => As(name, ["volume", .. arguments]);

    [Test]
    public void A_certificates_name_is_bounded_and_logged_safely()
    {
        Assert.That(As("\u001b[31mada", "plugin", "disable", "none").Error, Does.Contain(OfAdmins));
        Assert.That(As(new('x', 256), "plugin", "disable", "none").Error, Does.Contain(OfAdmins));
        Assert.That(
            As(new('y', 257), "plugin", "disable", "none").Error,
            Does.Contain("longer than 256 characters: use a certificate with a shorter one")
        );
        Assert.That(
            Engine.Log,
            Does.Contain("u001b[31mada")
                .And.Not.Contain("\u001b")
                .And.Not.Contain(new string('x', 100))
                .And.Not.Contain(new string('y', 100))
        );
    }

    /// <summary>The question takes the way of the context: its address, and the certificate of who asks.</summary>
    [TestCase("--context", "bobs")]
    [TestCase("env", "DOCKER_CONTEXT=bobs")]
    public void The_wrapper_asks_by_a_context_with_TLS(string how, string which)
    {
        var pem = _certificates.Of("bob");
        var config = Directory.CreateTempSubdirectory("gpu-context-").FullName;
        string[] environment = ["env", "-u", "DOCKER_HOST", $"DOCKER_CONFIG={config}", $"RUNAI_DOCKER={Engine.Cli}"];
        var endpoint = $"host=tcp://127.0.0.1:{Port},ca={pem}/ca.pem,cert={pem}/cert.pem,key={pem}/key.pem";
        string[] create = ["context", "create", "bobs", "--docker", endpoint];
        Engine.Command("env", [.. environment[1..], Engine.Cli, .. create]).Ok();
        string[] globals = how == "env" ? [] : [how, which];
        string[] more = how == "env" ? [which] : [];
        string[] question = ["policy", "ask", "run", "--gpus", "1", "--gpu-memory", "0.2", Image];
        var asked = Engine.InNetwork([.. environment, .. more, Repository.Wrapper, .. globals, .. question]);
        Assert.That(asked.Out, Does.StartWith("would be allowed\n  caller   bob, no admin\n"), asked.All);
        Directory.Delete(config, recursive: true);
    }

    [Test]
    public void Users_roll_back_no_service_and_change_no_node()
    {
        As("ada", "swarm", "init", "--advertise-addr", "127.0.0.1").Ok();
        try
        {
            As(
                    "ada",
                    "service",
                    "create",
                    "--detach",
                    "--replicas",
                    "0",
                    "--name",
                    "web",
                    "--cap-add",
                    "SYS_ADMIN",
                    Image,
                    "sleep",
                    "300"
                )
                .Ok();
            As("ada", "service", "update", "--detach", "--cap-drop", "SYS_ADMIN", "web").Ok();
            Assert.That(
                As("bob", "service", "update", "--detach", "--rollback", "web").Error,
                Does.Contain("--rollback brings back what you could not ask for yourself: --cap-add CAP_SYS_ADMIN")
            );
            As("bob", "service", "update", "--detach", "--label-add", "a=b", "web").Ok();
            As("bob", "service", "update", "--detach", "--rollback", "web").Ok(); // to what it was a line above
            var node = As("bob", "node", "ls", "-q").Ok();
            foreach (
                var call in (string[][])
                    [
                        ["demote"],
                        ["update", "--availability", "drain"],
                        ["rm", "--force"],
                    ]
            )
                Assert.That(
                    As("bob", ["node", .. call, node]).Error,
                    Does.Contain("the swarm, whose managers start containers here without asking, is the admins'"),
                    call[0]
                );
            As("ada", "node", "update", "--label-add", "a=b", node).Ok();
        }
        finally
        {
            As("ada", "swarm", "leave", "--force");
        }
    }
}
