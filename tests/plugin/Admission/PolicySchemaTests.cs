// SPDX-License-Identifier: Apache-2.0
using System.Text;
using System.Text.Json;
using Json.Schema;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Tests.Admission;

/// <summary>What an editor marks by docs/policy.schema.json is what the plugin refuses.</summary>
sealed class PolicySchemaTests
{
    static readonly string Root = FindRoot();
    static readonly string SchemaText = File.ReadAllText(Path.Combine(Root, "docs/policy.schema.json"));
    static readonly JsonSchema Schema = JsonSchema.FromText(SchemaText);

    static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "RunaiPlugin.sln")))
            folder = Path.GetDirectoryName(folder)!;
        return folder;
    }

    static bool Passes(JsonSchema schema, string text)
    {
        using var json = JsonDocument.Parse(text);
        return schema.Evaluate(json.RootElement).IsValid;
    }

    static string[] Examples() => Directory.GetFiles(Path.Combine(Root, "examples/policies"), "*.json");

    [Test]
    public void The_schema_is_a_valid_schema() => Assert.That(Passes(MetaSchemas.Draft202012, SchemaText));

    [TestCaseSource(nameof(Examples))]
    public void An_example_passes_the_schema(string file) => Assert.That(Passes(Schema, File.ReadAllText(file)));

    const string Texts = """
        "" "a" "enforce" "audit" "admin" "user" "report" "stop" "allow" "deny"
        """;

    /// <summary> Not among them are other spellings of whole numbers, such as 1e2, of which a schema knows nothing.
    /// </summary>
    const string Numbers = "0 1 -1 0.5 1.5 100 100.1 10000 10001 12345678901234567890 2147483648";

    const string Quotas = """
        "0.5" "3g" "0" "1" "1.5" "-1" ".5" "5." "4Gi" "1b" "0g" "0.0g" "1.0" "1.01" "0.0" "00.50" "01" "1e3" "512MiB"
        "1x" "none" "0.0000000000000000000000000000001" "99999999999999999999999999p" "1_g" "_1g" "٣g"
        """;

    const string Lists = """
        [] ["a"] ["a","a"] [""] [1] [null] ["/"] ["/a"] ["/a/"] ["/a/../b"] ["a/b"] ["/a//b"] ["/a/*/b"] ["/a","/b"]
        ["compute"] ["compute","ngx"] ["compute","compute"] ["all"] ["sha256:1"]
        ["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
        ["sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
        """;

    const string Others = """
        null true false {} {"a":{}} {"":{}} {"a":1} {"a":{"b":1}} {"users":["a"]} {"images":["a:*"]} {"other":1}
        """;

    /// <summary>An underscore stands for a space within one.</summary>
    static readonly string[] Values =
    [
        .. new[] { Texts, Numbers, Quotas, Lists, Others }
            .SelectMany(some => some.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries))
            .Select(value => value.Replace('_', ' ')),
    ];

    static readonly string[] Keys =
    [
        .. PolicyReader.Keys.Where(key => !key.Contains('.', StringComparison.Ordinal)).Distinct(),
        "exempt",
        "other",
        "Mode",
    ];

    /// <summary>What no schema says: one path below another, a size by its value.</summary>
    static bool IsBeyondSchemas(PolicyProblem problem) =>
        Array.Exists(
            ["which is below", "is more than any GPU has"],
            text => problem.Text.Contains(text, StringComparison.Ordinal)
        );

    static void AgreeOn(string text)
    {
        var problems = PolicyReader.Read(Encoding.UTF8.GetBytes(text)).Problems.Where(one => !IsBeyondSchemas(one));
        var said = string.Join("; ", problems.Select(problem => problem.Text));
        Assert.That(Passes(Schema, text), Is.EqualTo(said.Length == 0), $"{text}\nthe plugin: {said}");
    }

    [TestCaseSource(nameof(Keys))]
    public void Schema_and_reader_agree_on_every_value(string key) =>
        Assert.Multiple(() =>
        {
            foreach (var value in Values)
                AgreeOn($$"""{"{{key}}":{{value}}}""");
        });

    [TestCase("users.x")]
    [TestCase("exempt")]
    public void Schema_and_reader_agree_on_nested_keys(string path) =>
        Assert.Multiple(() =>
        {
            foreach (var key in (string[])["requireQuota", "defaultQuota", "maxQuota", "users", "images", "mode"])
            foreach (var value in Values)
                AgreeOn(Within(path, $"\"{key}\":{value}"));
        });

    static string Within(string path, string member) =>
        path == "exempt" ? $"{{\"exempt\":{{{member}}}}}" : $"{{\"users\":{{\"x\":{{{member}}}}}}}";

    [Test]
    public void Schema_and_reader_agree_on_whole_files()
    {
        var random = new Random(1);
        for (var n = 0; n < 1000; n++)
        {
            var members = Keys.Where(_ => random.Next(3) == 0)
                .Select(key => $"\"{key}\":{Values[random.Next(Values.Length)]}");
            AgreeOn($"{{{string.Join(',', members)}}}");
        }
    }
}
