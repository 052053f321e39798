// SPDX-License-Identifier: Apache-2.0
using System.Text.RegularExpressions;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Tests;

/// <summary>docs/rules.md has the rules of the code, by their names.</summary>
[Category("Check")]
sealed partial class RuleDocumentationTests
{
    static string[] Sources { get; } =
    [
        .. Directory
            .EnumerateFiles(
                Path.Combine(DocumentationTests.Root, "plugin/Admission"),
                "*.cs",
                SearchOption.AllDirectories
            )
            .Select(File.ReadAllText),
    ];

    /// <summary>Names of rules that are not in a table of the code: of calls, and of what the log allows.</summary>
    static IEnumerable<string> NamesInSources =>
        Sources.SelectMany(source =>
            Refused()
                .Matches(source)
                .Concat(Constant().Matches(source))
                .Concat(Allowed().Matches(source))
                .Select(match => match.Groups[1].Value)
                .Concat(Unreadable().Matches(source).Select(match => match.Groups[1].Value + "-body"))
        );

    [Test]
    public void The_rules_table_has_every_rule_and_no_other()
    {
        var rows = Row().Matches(File.ReadAllText(Path.Combine(DocumentationTests.Root, "docs/rules.md")));
        var documented = rows.SelectMany(row => Name().Matches(row.Value)).Select(name => name.Groups[1].Value);
        Assert.That(documented, Is.EquivalentTo(PolicyRules.RuleNames.Concat(NamesInSources).Distinct()));
    }

    /// <summary>A verdict or a reason that is made with a name.</summary>
    [GeneratedRegex(
        @"(?:Refused(?:ByPolicyFile)?\(|Reason\??[^;{]*\bnew\(|\[new\(|reasons\.Add\(\s*new\()"
            + @"\s*(?:(?:policy|settings),\s*)?""([a-z]+(?:-[a-z]+)*)"""
    )]
    private static partial Regex Refused();

    [GeneratedRegex(@"const string Rule = ""([a-z-]+)""")]
    private static partial Regex Constant();

    /// <summary>What the log names where a call is allowed.</summary>
    [GeneratedRegex(
        @"^\s+(?:\{ (?:Quota|Gpu): null \}|_) => ""(quota|[a-z]+-without-[a-z]+)"",",
        RegexOptions.Multiline
    )]
    private static partial Regex Allowed();

    [GeneratedRegex(@"UnreadableBody\.Refuse\(""([a-z]+)""")]
    private static partial Regex Unreadable();

    /// <summary>The first column of a row.</summary>
    [GeneratedRegex(@"^\| `[^|]+\|", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex(@"`([^`]+)`")]
    private static partial Regex Name();
}
