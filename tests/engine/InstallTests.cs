// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>The plugin from a registry: whatever the engine calls it, all is the same.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class InstallTests(string version) : EngineFixture(version)
{
    const string Place = $"{TestRegistry.Address}/{Plugin}";
    static readonly string Release = typeof(PluginSettings).Assembly.GetName().Version!.ToString(3);
    static readonly string Reference = $"{Place}:{Release}";
    TestRegistry _registry = null!;

    protected override TestEngine Create(string version) => new(version, install: false);

    [OneTimeSetUp]
    public void Push()
    {
        _registry = new(Engine);
        Engine.Docker("plugin", "create", Reference, Path.Combine(Repository.Build, "plugin")).Ok();
        Engine.Docker("plugin", "push", Reference).Ok();
        Engine.Docker("plugin", "rm", Reference).Ok();
    }

    [OneTimeTearDown]
    public void EndRegistry() => _registry?.Dispose();

    [TearDown]
    public void Uninstall()
    {
        if (Engine.Docker("plugin", "ls", "-q").Ok().Length == 0)
            return;
        Engine.WritePolicy(null);
        Engine.Docker(["volume", "rm", .. Engine.Docker("volume", "ls", "-q").Ok().Split('\n')]).Ok();
        Engine.AskNobody();
        Engine.Docker("plugin", "rm", "-f", Engine.Name).Ok();
    }

    /// <summary>With plugins that are just a configuration: they are pushed, and never run.</summary>
    [Test]
    public void Each_processor_has_tags_and_the_usual_ones_are_amd64()
    {
        var release = Directory.CreateTempSubdirectory("gpu-release-").FullName;
        const string Pack = """
            for arch in amd64 arm64; do
                folder=gpu-memory-plugin-$1-linux-$arch
                mkdir -p "$0/$folder/rootfs/$arch"
                cp "$2" "$0/$folder/"
                tar -C "$0" -czf "$0/$folder.tar.gz" $folder
            done
            """;
        Shell.Run("sh", "-ec", Pack, release, Release, Path.Combine(Repository.Build, "plugin/config.json")).Ok();
        var push = Path.Combine(Repository.Root, "tools/push");
        Engine.Command("env", $"DOCKER={Engine.Cli}", push, release, $"{TestRegistry.Address}/some/plugin").Ok();
        Directory.Delete(release, recursive: true);

        var tags = _registry.Tags("some/plugin");
        string[] amd64 = [$"{Release}-amd64", "amd64", Release, "latest"];
        string[] arm64 = [$"{Release}-arm64", "arm64"];
        Assert.That(tags.Keys, Is.EquivalentTo((string[])[.. amd64, .. arm64]));
        Assert.That(amd64.Select(tag => tags[tag]).Distinct().Count(), Is.EqualTo(1));
        Assert.That(arm64.Select(tag => tags[tag]).Distinct().Single(), Is.Not.EqualTo(tags["amd64"]));
        Assert.That(Engine.Docker("plugin", "ls", "-q").Ok(), Is.Empty, "push leaves nothing in the engine");
    }

    [Test]
    public void Under_an_alias_with_privileges_granted_it_serves()
    {
        string[] options = ["--alias", "runai", "--grant-all-permissions"];
        Engine.Docker(["plugin", "install", .. options, Reference, .. Engine.Settings]).Ok();
        Serves("runai", "docker.io/library/runai:latest");
    }

    [Test]
    public void Under_the_registrys_name_with_privileges_asked_for_it_serves()
    {
        Output Install(string answer) =>
            Engine.Command(
                "sh",
                ["-c", $"echo {answer} | \"$0\" \"$@\"", Engine.Cli, "plugin", "install", Reference, .. Engine.Settings]
            );
        var declined = Install("n");
        Assert.That(declined.Out, Does.Contain("CAP_SYS_ADMIN").And.Contain("allow-all-devices: [true]"));
        Assert.That(Engine.Docker("plugin", "ls", "-q").Ok(), Is.Empty);
        Install("y").Ok();
        Serves(Reference, Reference);
    }

    /// <summary>The main job, and the rules that depend on the plugin's name.</summary>
    /// <param name="name">What the engine calls the plugin.</param>
    /// <param name="spelling">Another spelling.</param>
    void Serves(string name, string spelling)
    {
        Engine.Name = name;
        Engine.Authorize();
        string[] limited = ["-v", "runai:/runai", "--label", "gpu-memory=0.3", Image, "env", "-i", .. SmiQuery];
        Assert.That(Engine.Run(["--rm", .. limited]).Ok(), Does.StartWith($"{Part(0.3m)},"), "without environment");
        Assert.That(
            Engine.Run("--rm", "--label", "gpu-memory=0.3", Image, "true").Error,
            Does.Contain($"denied by plugin {name}").And.Contain("needs the runai volume: add -v runai:/runai")
        );
        var id = Engine.PluginId();
        foreach (
            var (volume, driver) in ((string, string)[])[("v1", name), ("v2", spelling), ("v3", id), ("v4", id[..9])]
        )
        {
            Engine.Docker("volume", "create", "-d", driver, "-o", "gpu-memory=0.5", volume).Ok();
            var shown = Engine.Run(["--rm", "-v", $"{volume}:/runai", Image, .. SmiQuery]);
            Assert.That(shown.Ok(), Does.StartWith($"{Part(0.5m)},"), driver);
        }

        Engine.Enforce("""{ "localSocket": "user", "requireQuota": true }""");
        Assert.That(Engine.Run("--rm", Image, "true").Error, Does.Contain("gpu-memory"), "the policy holds");
        foreach (var called in (string[])[name, spelling, id, id[..9], id[..1]])
        foreach (
            var call in (string[])["disable?force=1", "enable?timeout=0", "set", "push", $"upgrade?remote={Reference}"]
        )
            IsRefused("POST", $"/plugins/{called}/{call}");
        IsRefused("DELETE", $"/plugins/{name}?force=1");
        IsRefused("DELETE", $"/plugins/{id[..1]}?force=1");
        IsRefused("POST", $"/plugins/pull?remote={Reference}&name=other");
        Engine.Enforce("""{ "localSocket": "admin" }""");
    }

    void IsRefused(string method, string target) =>
        Assert.That(
            Engine.Raw(method, target, "[]"u8.ToArray()).ToString(),
            Does.StartWith("403 ").And.Contain("only admins may change plugins on this machine"),
            target
        );
}
