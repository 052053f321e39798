// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using System.Text.RegularExpressions;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Tests.Admission.Policies;

/// <summary>The policy's keys are the same in the code, in the schema and in the documentation.</summary>
sealed partial class PolicyDocumentationTests
{
    static string Read(string path)
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "RunaiPlugin.sln")))
            folder = Path.GetDirectoryName(folder)!;
        return File.ReadAllText(Path.Combine(folder, path));
    }

    /// <summary>Objects are named by what is in them.</summary>
    static readonly string[] Keys = [.. PolicyReader.Keys.Where(k => k is not ("exempt" or "users"))];

    [Test]
    public void The_schema_has_every_key_and_no_other()
    {
        using var schema = JsonDocument.Parse(Read("docs/policy.schema.json"));
        var properties = schema.RootElement.GetProperty("properties");
        IEnumerable<string> Names(JsonElement objects) =>
            objects.GetProperty("properties").EnumerateObject().Select(p => p.Name);
        var keys = properties
            .EnumerateObject()
            .Select(p => p.Name)
            .Where(n => n is not ("exempt" or "users"))
            .Concat(Names(properties.GetProperty("exempt")).Select(n => "exempt." + n))
            .Concat(
                Names(properties.GetProperty("users").GetProperty("additionalProperties")).Select(n => "users.*." + n)
            );
        Assert.That(keys, Is.EquivalentTo(Keys));
    }

    [Test]
    public void The_table_has_every_key_and_no_other() =>
        Assert.That(
            Row().Matches(Read("docs/policy.md").Split("## Keys")[1].Split("\n## ")[0]).Select(m => m.Groups[1].Value),
            Is.EquivalentTo(Keys)
        );

    [Test]
    public void A_policy_is_shown_with_every_key() =>
        Assert.That(
            PolicyText.Keys,
            Is.EquivalentTo(Keys.Where(key => key != "$schema" && !key.StartsWith("users.", StringComparison.Ordinal)))
        );

    [Test]
    public void Every_example_is_a_policy()
    {
        var examples = Example().Matches(Read("docs/policy.md")).Select(m => m.Value).ToArray();
        Assert.That(examples, Has.Length.EqualTo(5));
        foreach (var example in examples)
            Assert.That(PolicyReader.Read(System.Text.Encoding.UTF8.GetBytes(example)).Problems, Is.Empty, example);
    }

    [GeneratedRegex(@"^\| `([^`]+)` \|", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex(@"^    \{[^\n]*\}$|^    \{\n(?:      [^\n]*\n)+    \}$", RegexOptions.Multiline)]
    private static partial Regex Example();
}
