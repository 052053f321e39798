// SPDX-License-Identifier: Apache-2.0
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using NUnit.Framework;

namespace Runai.GpuMemory.Tests;

/// <summary>The folders of a program in the order in which they may use one another: each what stands before
/// it.</summary>
[TestFixture("plugin", "Runai.GpuMemory")]
[TestFixture("cli", "Runai.GpuMemory.Cli")]
[Category("Check")]
sealed class ArchitectureTests(string program, string root)
{
    string[] Order => program == "cli" ? OrderOfWrapper : OrderOfPlugin;

    static readonly string[] OrderOfWrapper =
    [
        "Common",
        "Words",
        "Docker",
        "Questions",
        "Status",
        "Checks",
        "Tables",
        "Exporter",
        "Help",
        "Commands",
        "Completion",
        "",
    ];

    static readonly string[] OrderOfPlugin =
    [
        "Common",
        "Hosting",
        "Quotas",
        "Logging",
        "Engine",
        "Gpu",
        "Protocol",
        "Volumes",
        "Admission/Routing",
        "Admission/Requests",
        "Admission/Containers",
        "Admission/Policies",
        "Admission/Capacity",
        "Admission/Starts",
        "Admission/Preload",
        "Admission/Calls",
        "Admission/DryRun",
        "Admission",
        "Reconciliation",
        "Status/Checks",
        "Status",
        "",
    ];

    string Folder([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "../..", program));

    IEnumerable<string> Sources() =>
        Directory
            .EnumerateFiles(Folder(), "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.Contains("/obj/", StringComparison.Ordinal));

    string FolderOf(string file) => Path.GetRelativePath(Folder(), Path.GetDirectoryName(file)!).TrimStart('.');

    /// <summary>The folders of the namespaces that a statement names in a file.</summary>
    /// <param name="statement">using, or namespace.</param>
    /// <param name="file">Its path.</param>
    IEnumerable<string> Named(string statement, string file) =>
        from Match name in Regex.Matches(
            File.ReadAllText(file),
            $@"^{statement} (?:static )?{Regex.Escape(root)}\b\.?([\w.]*);",
            RegexOptions.Multiline
        )
        select name.Groups[1].Value.Replace('.', '/');

    [Test]
    public void The_namespace_is_the_folder() =>
        Assert.That(
            from file in Sources()
            from name in Named("namespace", file)
            where name != FolderOf(file)
            select file,
            Is.Empty
        );

    [Test]
    public void Each_folder_has_its_place_in_the_order() =>
        Assert.That(Sources().Select(FolderOf).Distinct(), Is.EquivalentTo(Order));

    /// <summary>What puts the services together may know all of them.</summary>
    [Test]
    public void No_folder_uses_one_behind_it() =>
        Assert.That(
            from file in Sources()
            where !file.EndsWith("Registration.cs", StringComparison.Ordinal)
            let own = Array.IndexOf(Order, FolderOf(file))
            from used in Named("using", file)
            where Array.IndexOf(Order, used) > own
            select $"{file}: {used}",
            Is.Empty
        );
}
