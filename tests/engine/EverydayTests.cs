using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>What people type on the first day, and what stood on the machine before.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class EverydayTests(string version) : EngineFixture(version)
{
    static readonly string[] Half = ["-v", "runai:/runai", "--label", "gpu-memory=0.5"];

    Output Create(params string[] arguments) => Engine.Docker(["create", "--network", "none", "--gpus", "1", .. arguments]);

    [Test]
    public void The_version_and_the_time_of_a_volume_are_shown()
    {
        var version = System.Xml.Linq.XDocument.Load(Path.Combine(Repository.Root, "Directory.Build.props")).Descendants("Version").Single().Value;
        Engine.Docker("volume", "create", "-d", Plugin, "-o", "gpu-memory=0.5", "half").Ok();
        foreach (var volume in (string[])["runai", "half"])
            Assert.That(Engine.Docker("volume", "inspect", "-f", "{{.Status.Version}} {{.CreatedAt}}", volume).Ok(), Does.StartWith($"{version} {DateTime.UtcNow.Year}-"), volume);
        Engine.Docker("volume", "rm", "half").Ok();
        Assert.That(Engine.Docker("plugin", "inspect", "-f", "{{.Config.Description}}", Plugin).Ok(), Does.Contain($"version {version}:"));
        Assert.That(Engine.Log, Does.Contain($"version {version} starts"));
    }

    [TestCase("c", "volume name is too short, names should be at least two alphanumeric characters")]
    [TestCase("../x", "\"../x\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed")]
    public void A_volume_of_ours_has_a_name_by_the_engines_own_rule_and_words(string name, string words)
    {
        foreach (var driver in (string[])["local", Plugin])
        {
            var output = Engine.Docker("volume", "create", "-d", driver, name);
            Assert.That(output.Code, Is.Not.Zero, driver);
            Assert.That(output.Error, Does.Contain(words), driver);
        }
    }

    [Test]
    public void A_letter_before_a_colon_does_not_give_the_whole_GPU()
    {
        var output = Engine.Run("--rm", "-v", "c:/runai", Image, "true");
        Assert.That(output.Code, Is.EqualTo(125), output.All);
        Assert.That(output.Error, Does.Contain("-v c:/runai names no volume"));
    }

    /// <summary>The first line of the README before the plugin is installed: the engine makes a volume of its own by that name.</summary>
    [Test]
    public void A_volume_of_the_name_from_before_the_plugin_is_named_with_what_ends_it()
    {
        WithoutPlugin(() => Engine.Run(["--name", "early", .. Half, Image, "true"]).Ok());
        const string Words = "and runai is a volume of the driver local, made before this plugin was there: docker volume rm runai, and try again";
        foreach (var output in (Output[])[Create([.. Half, Image, "true"]), Create("-v", "runai:/runai", Image, "true"), Engine.Docker("start", "early")])
            Assert.That(output.Error, Does.Contain(Words));
        Engine.Docker("rm", "early").Ok();
        Engine.Docker("volume", "rm", "runai").Ok();
        Assert.That(ParseSmi(Engine.Run(["--rm", .. Half, Image, .. SmiQuery]).Ok()).Total, Is.EqualTo(Part(0.5m)));
    }

    void WithoutPlugin(Action use)
    {
        Engine.AskNobody();
        Engine.Docker("plugin", "disable", "-f", Plugin).Ok();
        Engine.Docker("volume", "rm", "-f", "runai").Ok();
        use();
        Engine.Docker("plugin", "enable", Plugin).Ok();
        Engine.Authorize();
    }
}
