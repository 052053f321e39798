using NUnit.Framework;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>What official clients send in ordinary sessions passes a policy that is as strict as can be towards GPUs and towards calls that nobody knows.</summary>
abstract class TrafficFixture(string version) : PolicyFixture(version)
{
    protected override string PolicyFile => """{ "requireQuota": true, "maxQuota": "0.1", "unknownRoutes": "deny", "localSocket": "user" }""";

    protected static string Script(string name) => Repository.Script($"traffic/{name}");

    protected void Passes(string command, params string[] arguments)
    {
        var session = Engine.Command(command, arguments);
        Assert.That(session.All, Does.Not.Contain("denied by plugin"));
        Assert.That(session.Code, Is.Zero, $"{command} {string.Join(' ', arguments)}\n{session.All[Math.Max(0, session.All.Length - 3000)..]}");
    }

    protected static void Need(params string[] what)
    {
        var had = Shell.Run(Path.Combine(Repository.Root, ".ci/need"), what);
        Assert.That(had.Code, Is.Zero, had.All);
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
    public void Dockerode()
    {
        Need("node", "npm");
        var folder = Path.Combine(Repository.Build, "dockerode");
        if (!Directory.Exists(Path.Combine(folder, "node_modules/dockerode")))
        {
            var installed = Shell.Run("npm", "install", "--prefix", Directory.CreateDirectory(folder).FullName, "--no-audit", "--no-fund", "--ignore-scripts", "dockerode@5");
            Assert.That(installed.Code, Is.Zero, $"dockerode cannot be had: {installed.All}");
        }

        Passes("env", $"NODE_PATH={folder}/node_modules", "node", Script("sdk.js"));
    }
}

[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class ComposeTrafficTests(string version) : TrafficFixture(version)
{
    [Test]
    public void The_CLI_and_the_Compose_of_its_time() => Passes(Script("cli.sh"), Engine.Cli, Path.Combine(Repository.Build, "engines", Engine.Version, "docker-compose"));
}
