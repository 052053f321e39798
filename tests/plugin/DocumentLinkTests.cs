// SPDX-License-Identifier: Apache-2.0
using System.Text.RegularExpressions;
using NUnit.Framework;

namespace Runai.GpuMemory.Tests;

/// <summary>Links of the documentation lead to files and headings that exist, and to all of them.</summary>
[Category("Check")]
sealed partial class DocumentLinkTests
{
    static readonly string Root = DocumentationTests.Root;

    static IEnumerable<string> Documents() =>
        Directory
            .GetFiles(Root, "*.md")
            .Concat(Directory.GetFiles(Path.Combine(Root, "docs"), "*.md", SearchOption.AllDirectories))
            .Concat(Directory.GetFiles(Path.Combine(Root, "plugin"), "*.md", SearchOption.AllDirectories))
            .Select(document => Path.GetRelativePath(Root, document));

    /// <summary>Where the links of a document lead, from the root, and to which heading.</summary>
    static IEnumerable<(string Path, string Anchor)> LinksOf(string document) =>
        from Match match in Link().Matches(File.ReadAllText(Path.Combine(Root, document)))
        let path = match.Groups[1].Value
        let target = path.Length == 0 ? document : Path.Combine(Path.GetDirectoryName(document)!, path)
        select (Path.GetRelativePath(Root, Path.GetFullPath(target, Root)), match.Groups[2].Value);

    /// <summary>The anchors that GitHub gives the headings of a document.</summary>
    static IEnumerable<string> AnchorsOf(string document) =>
        Heading()
            .Matches(Fence().Replace(File.ReadAllText(Path.Combine(Root, document)), ""))
            .Select(match => NoAnchor().Replace(match.Groups[1].Value.ToLowerInvariant(), "").Replace(' ', '-'));

    [TestCaseSource(nameof(Documents))]
    public void Every_link_leads_to_a_file(string document) =>
        Assert.That(LinksOf(document).Where(link => !Path.Exists(Path.Combine(Root, link.Path))), Is.Empty);

    [TestCaseSource(nameof(Documents))]
    public void Every_anchor_is_that_of_a_heading(string document) =>
        Assert.That(
            LinksOf(document).Where(link => link.Anchor.Length > 0 && !AnchorsOf(link.Path).Contains(link.Anchor)),
            Is.Empty
        );

    [Test]
    public void Every_document_is_reached_from_the_README()
    {
        var reached = new HashSet<string>();
        var next = new Queue<string>(["README.md"]);
        while (next.TryDequeue(out var document))
            if (reached.Add(document) && document.EndsWith(".md", StringComparison.Ordinal))
                foreach (var (path, _) in LinksOf(document))
                    next.Enqueue(path);
        Assert.That(Documents().Except(reached), Is.Empty);
    }

    /// <summary>The page says which test shows each promise.</summary>
    [Test]
    public void Every_test_that_the_security_page_names_exists()
    {
        var code = string.Concat(
            Directory
                .EnumerateFiles(Path.Combine(Root, "tests"), "*.cs", SearchOption.AllDirectories)
                .Where(file => !file.Contains("/obj/", StringComparison.Ordinal))
                .Select(File.ReadAllText)
        );
        var names = TestName()
            .Matches(File.ReadAllText(Path.Combine(Root, "docs/security.md")))
            .Select(match => match.Groups[1].Value)
            .ToArray();
        Assert.That(names, Has.Length.GreaterThan(50));
        Assert.That(names.Where(name => !Regex.IsMatch(code, $@"\b(?:class|void|Task|async Task) {name}\b")), Is.Empty);
    }

    /// <summary>A Markdown link within the repository: its path and its anchor, one of which may be empty.</summary>
    [GeneratedRegex(@"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"^#+ (.+)$", RegexOptions.Multiline)]
    private static partial Regex Heading();

    [GeneratedRegex(@"^```.*?^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex(@"[^\w\- ]")]
    private static partial Regex NoAnchor();

    /// <summary>A fixture, or a test, whose name is a sentence.</summary>
    [GeneratedRegex(@"`([A-Z]\w*Tests|[A-Z][A-Za-z0-9]*_\w*[a-z]\w*)`")]
    private static partial Regex TestName();
}
