// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using NUnit.Framework;
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Tests;

/// <summary>The tables of the documentation say what config.json and the code say.</summary>
[Category("Check")]
sealed partial class DocumentationTests
{
    /// <summary>The repository.</summary>
    public static string Root { get; } = FindRoot();

    [Test]
    public void The_settings_table_matches_config_json()
    {
        using var config = JsonDocument.Parse(File.ReadAllText(Path.Combine(Root, "config.json")));
        var settings = config
            .RootElement.GetProperty("env")
            .EnumerateArray()
            .Select(e => (Name: e.GetProperty("name").GetString()!, Value: e.GetProperty("value").GetString()!))
            .Concat(
                config
                    .RootElement.GetProperty("mounts")
                    .EnumerateArray()
                    .Select(m =>
                        (
                            Name: $"{m.GetProperty("name").GetString()}.source",
                            Value: m.GetProperty("source").GetString()!
                        )
                    )
            )
            .ToDictionary(s => s.Name, s => s.Value.Length == 0 ? "empty" : $"`{s.Value}`");
        var section = File.ReadAllText(Path.Combine(Root, "docs/operate.md")).Split("## Settings")[1].Split("\n## ")[0];
        var documented = Row().Matches(section).ToDictionary(m => m.Groups[1].Value, m => m.Groups[2].Value.Trim());
        Assert.That(documented, Is.EquivalentTo(settings));
    }

    [Test]
    public void Defaults_of_config_json_are_the_defaults_of_the_code()
    {
        using var config = JsonDocument.Parse(File.ReadAllText(Path.Combine(Root, "config.json")));
        var values = config
            .RootElement.GetProperty("env")
            .EnumerateArray()
            .ToDictionary(e => e.GetProperty("name").GetString()!, e => e.GetProperty("value").GetString());
        var (settings, problems) = PluginSettings.Read(name => values.GetValueOrDefault(name));
        Assert.That(problems, Is.Empty);
        Assert.That(settings, Is.EqualTo(new PluginSettings()));
    }

    [GeneratedRegex(@"^\| `([^`]+)` \| ([^|]+) \|", RegexOptions.Multiline)]
    private static partial Regex Row();

    /// <summary>An event of the code: its ID and its level, on one line or over several.</summary>
    [GeneratedRegex(@"\[LoggerMessage\(\s*(\d+),\s*LogLevel\.(\w+),")]
    private static partial Regex Event();

    /// <summary>A row of docs/events.md.</summary>
    [GeneratedRegex(@"^\| (\d+) \| (\w+) \| [^|]+ \| [^|]+ \|$", RegexOptions.Multiline)]
    private static partial Regex EventRow();

    /// <summary>Levels as lines of the log have them.</summary>
    static string Level(string name) => name == nameof(LogLevel.Information) ? "info" : name.ToLowerInvariant();

    static string[] Sources { get; } =
    [
        .. Directory
            .EnumerateFiles(Path.Combine(Root, "plugin"), "*.cs", SearchOption.AllDirectories)
            .Select(File.ReadAllText),
    ];

    static (string Id, string Level)[] Events { get; } =
    [
        .. Sources
            .SelectMany(source => Event().Matches(source))
            .Select(m => (m.Groups[1].Value, Level(m.Groups[2].Value))),
    ];

    [Test]
    public void Every_event_has_an_ID_of_its_own()
    {
        Assert.That(Events, Has.Length.EqualTo(Sources.Sum(source => source.Split("[LoggerMessage(").Length - 1)));
        Assert.That(Events.Select(e => e.Id), Is.Unique.And.Not.Empty);
    }

    [Test]
    public void The_events_table_matches_the_code()
    {
        var rows = EventRow().Matches(File.ReadAllText(Path.Combine(Root, "docs/events.md")));
        Assert.That(rows.Select(m => (m.Groups[1].Value, m.Groups[2].Value)), Is.EquivalentTo(Events));
    }

    /// <summary>How a problem of the status begins in the code.</summary>
    [GeneratedRegex("(?:new(?: Problem)?|Problem\\.Of)\\(\\s*\"([a-z-]+)\",")]
    private static partial Regex Check();

    /// <summary>A row of the tables of checks.</summary>
    [GeneratedRegex(@"^\| `([a-z-]+)`(?: \*)? \|", RegexOptions.Multiline)]
    private static partial Regex CheckRow();

    [Test]
    public void The_tables_of_checks_match_the_code()
    {
        var section = File.ReadAllText(Path.Combine(Root, "docs/status.md")).Split("\n## Checks")[1].Split("\n## ")[0];
        var code = Directory
            .EnumerateFiles(Path.Combine(Root, "plugin/Status"), "*.cs", SearchOption.AllDirectories)
            .SelectMany(file => Check().Matches(File.ReadAllText(file)))
            .Select(m => m.Groups[1].Value)
            .Distinct()
            .ToArray();
        Assert.That(
            CheckRow().Matches(section).Select(m => m.Groups[1].Value).Distinct(),
            Is.EquivalentTo(code).And.Not.Empty
        );
        Assert.That(Problem.AllChecks, Is.EquivalentTo(code));
    }

    static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "RunaiPlugin.sln")))
            folder = Path.GetDirectoryName(folder)!;
        return folder;
    }
}
