// SPDX-License-Identifier: Apache-2.0
using Microsoft.CodeAnalysis;
using NUnit.Framework;

namespace Runai.GpuMemory.Tests;

/// <summary>Whoever uses a type or member of another file need not read that file to know what it is.</summary>
[Category("Check")]
sealed class SummaryTests
{
    static IEnumerable<(string Path, string Text)> FilesOf(string program)
    {
        var root = DocumentationTests.Root;
        return Directory
            .EnumerateFiles(Path.Combine(root, program), "*.cs", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(root, path))
            .Where(path => !path.Contains("/obj/", StringComparison.Ordinal))
            .Concat(program == "cli" ? [OfBoth] : [])
            .Select(path => (path, File.ReadAllText(Path.Combine(root, path))));
    }

    /// <summary>The plugin's file with which the wrapper is built too.</summary>
    const string OfBoth = "plugin/Common/PrintableRune.cs";

    /// <summary>Unknown types and namespaces: a use by way of one would be overlooked.</summary>
    static readonly string[] Unresolved = ["CS0234", "CS0246"];

    [TestCase("plugin")]
    [TestCase("cli")]
    public void What_another_file_uses_has_a_summary(string folder)
    {
        var program = Summaries.Compile(FilesOf(folder));
        Assert.That(program.GetDeclarationDiagnostics().Where(problem => Unresolved.Contains(problem.Id)), Is.Empty);
        var missing = Summaries.FindMissing(program);
        Assert.That(missing, Is.Empty, string.Join('\n', missing));
    }

    static IReadOnlyList<string> Find(string declaration, string use) =>
        Summaries.FindMissing(
            Summaries.Compile([
                ("a.cs", $"/// <summary>A type.</summary>\n{declaration}"),
                ("b.cs", $"class User {{ object Use() => {use}; }}"),
            ])
        );

    [TestCase("class A { public int Size; }", "new A().Size", "A.Size")]
    [TestCase("class A { internal const int Size = 1; }", "A.Size", "A.Size")]
    [TestCase("class A { public int Size { get; set; } }", "new A { Size = 1 }", "A.Size")]
    [TestCase("class A { public int Size { get; set; } }", "new A() is { Size: 1 }", "A.Size")]
    [TestCase("static class A { public static int Size() => 1; }", "A.Size()", "A.Size")]
    [TestCase("static class A { public static int Size(this string text) => 1; }", "\"\".Size()", "A.Size")]
    [TestCase("class A<T> { public T Size = default!; }", "new A<int>().Size", "A.Size")]
    [TestCase("enum A { Small }", "A.Small", "A.Small")]
    [TestCase("interface A { int Size { get; } }", "((A)null!).Size", "A.Size")]
    [TestCase("class A {\n/// <remarks>Text.</remarks>\npublic int Size; }", "new A().Size", "A.Size")]
    [TestCase("class A {\n/// <summary> </summary>\npublic int Size; }", "new A().Size", "A.Size")]
    [TestCase("class A; class B { }", "new B()", "B")]
    public void A_bare_member_that_others_use_is_found(string declaration, string use, string found) =>
        Assert.That(Find(declaration, use), Is.EqualTo(new[] { $"a.cs:{Line(declaration)}: {found} has no summary" }));

    static int Line(string declaration) => 2 + declaration.Count(c => c == '\n');

    [TestCase("class A {\n/// <summary>Bytes.</summary>\npublic int Size; }", "new A().Size")]
    [TestCase("class A {\n/// <summary><c>1</c>.</summary>\npublic int Size; }", "new A().Size")]
    [TestCase("class A {\n/// <inheritdoc/>\npublic int Size; }", "new A().Size")]
    [TestCase("class A { public int Size; int Twice => 2 * Size; }", "new A()")]
    [TestCase("class A { public override string ToString() => \"\"; }", "new A().ToString()")]
    [TestCase("class A : IDisposable { public void Dispose() { } }", "nameof(A.Dispose)")]
    [TestCase("record A(int Size);", "new A(1).Size")]
    [TestCase("class A { public A(int size) { } }", "new A(1)")]
    public void What_needs_no_summary_or_has_one_is_not_found(string declaration, string use) =>
        Assert.That(Find(declaration, use), Is.Empty);
}
