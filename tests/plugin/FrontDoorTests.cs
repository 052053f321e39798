// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Tests;

/// <summary>What a stranger meets first: examples are right, CI runs what there is.</summary>
sealed partial class FrontDoorTests
{
    static string Root { get; } = FindRoot();

    static string Read(string path) => File.ReadAllText(Path.Combine(Root, path));

    static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "RunaiPlugin.sln")))
            folder = Path.GetDirectoryName(folder)!;
        return folder;
    }

    [Test]
    public void Every_source_file_names_its_licence()
    {
        var files = Directory
            .GetFiles(Root, "*", NoLinks)
            .Where(file =>
                Path.GetExtension(file) is ".cs" or ".c" or ".h" or ".S" or ".def" or ".sh" or ".py" or ".go"
            )
            .Where(file => !Path.GetRelativePath(Root, file).Split('/').Intersect(Made).Any())
            .ToArray();
        Assert.That(files, Has.Length.GreaterThan(400));
        Assert.That(files.Where(file => !File.ReadLines(file).Take(3).Any(line => line.Contains(Licence))), Is.Empty);
    }

    /// <summary>Tests leave links in the build folder, one of them to the root.</summary>
    static readonly EnumerationOptions NoLinks = new()
    {
        RecurseSubdirectories = true,
        AttributesToSkip = FileAttributes.ReparsePoint,
    };

    const string Licence = "SPDX-License-Identifier: Apache-2.0";
    static readonly string[] Made = ["build", "obj", "bin", ".git", "node_modules"];

    [Test]
    public void The_workflow_runs_the_script_of_CI()
    {
        Assert.That(Read(".github/workflows/ci.yml"), Does.Contain("- run: .ci/run\n"));
        Assert.That(File.GetUnixFileMode(Path.Combine(Root, ".ci/run")).HasFlag(UnixFileMode.UserExecute));
    }

    [Test]
    public void The_development_container_has_every_tool()
    {
        var needed = Need().Matches(Read("Makefile")).SelectMany(match => match.Groups[1].Value.Split(' ')).Distinct();
        var installed = Read(".devcontainer/Dockerfile").Split((char[])[' ', '\n']);
        Assert.That(needed.Except(installed).Except(["dotnet"]), Is.Empty);
    }

    [TestCase("plugin/RunaiPlugin.csproj")]
    [TestCase("cli/RunaiDocker.csproj")]
    public void Every_package_that_is_shipped_is_in_the_notice(string project)
    {
        var references = XDocument.Parse(Read(project)).Descendants("PackageReference");
        var packages = references.Select(reference => reference.Attribute("Include")!.Value);
        var notice = Read("NOTICE");
        Assert.That(packages.Where(name => !notice.Contains(name, StringComparison.Ordinal)), Is.Empty);
    }

    [Test]
    public void The_SDK_matches_the_target_framework()
    {
        using var json = JsonDocument.Parse(Read("global.json"));
        var sdk = json.RootElement.GetProperty("sdk");
        var framework = XDocument.Parse(Read("Directory.Build.props")).Descendants("TargetFramework").Single().Value;
        Assert.That(sdk.GetProperty("version").GetString(), Does.StartWith($"{framework["net".Length..]}."));
        Assert.That(sdk.GetProperty("rollForward").GetString(), Is.EqualTo("latestFeature"));
    }

    [Test]
    public void The_recording_names_no_folder_of_a_machine()
    {
        var lines = Read("docs/img/demo.cast").TrimEnd().Split('\n');
        using var header = JsonDocument.Parse(lines[0]);
        Assert.That(header.RootElement.GetProperty("version").GetInt32(), Is.EqualTo(2));
        Assert.That(lines, Has.None.Match("/(?:home|root|work|Users)/"));
        Assert.That(lines[^1], Does.Contain("Every figure is right."));
    }

    [Test]
    public void The_picture_of_the_README_is_small_and_described()
    {
        var picture = Read("docs/img/architecture.svg");
        XNamespace svg = "http://www.w3.org/2000/svg";
        Assert.That(picture, Has.Length.LessThan(10_000));
        Assert.That(XDocument.Parse(picture).Root!.Element(svg + "desc")!.Value, Is.Not.Empty);
    }

    /// <summary>What shows the version reads it from Directory.Build.props when it is built or installed.</summary>
    [TestCase("Makefile", "$(shell sed -n 's:.*<Version>")]
    [TestCase("config.json", "version @VERSION@")]
    [TestCase("cli/Help/ManPage.cs", "runai-docker {{version}}")]
    public void The_version_is_written_in_one_file(string file, string reads)
    {
        var version = XDocument.Parse(Read("Directory.Build.props")).Descendants("Version").Single().Value;
        Assert.That(PluginVersion.Text, Is.EqualTo(version));
        Assert.That(Read(file), Does.Contain(reads).And.Not.Contain(version));
    }

    [TestCase("lab")]
    [TestCase("team")]
    [TestCase("classroom")]
    [TestCase("classroom-tls")]
    public void Example_policies_are_valid_and_documented(string name)
    {
        var example = Read($"examples/policies/{name}.json");
        Assert.That(PolicyReader.Read(System.Text.Encoding.UTF8.GetBytes(example)).Problems, Is.Empty);
        Assert.That(Read("docs/policy.md"), Does.Contain("    " + example.TrimEnd().Replace("\n", "\n    ")));
    }

    [Test]
    public void The_Compose_example_is_the_READMEs() =>
        Assert.That(Read("README.md"), Does.Contain($"```yaml\n{Read("examples/compose.yaml")}```"));

    [Test]
    public void The_example_of_daemon_json_names_the_plugin()
    {
        var expected = JsonNode.Parse("""{ "authorization-plugins": ["runai/gpu-memory"] }""");
        Assert.That(JsonNode.DeepEquals(JsonNode.Parse(Read("examples/daemon.json")), expected));
    }

    [GeneratedRegex(@"^\t@\$\(NEED\) (.+)$", RegexOptions.Multiline)]
    private static partial Regex Need();
}
