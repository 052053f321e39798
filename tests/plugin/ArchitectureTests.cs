// SPDX-License-Identifier: Apache-2.0
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using NUnit.Framework;

namespace Runai.GpuMemory.Tests;

/// <summary>The folders of the plugin in the order in which they may use one another: each what stands before
/// it.</summary>
sealed partial class ArchitectureTests
{
    static readonly string[] Order =
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
        "",
    ];

    static string Plugin([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "../../plugin"));

    static IEnumerable<string> Sources() =>
        Directory
            .EnumerateFiles(Plugin(), "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.Contains("/obj/", StringComparison.Ordinal));

    static string FolderOf(string file) => Path.GetRelativePath(Plugin(), Path.GetDirectoryName(file)!).TrimStart('.');

    [GeneratedRegex(@"^using (?:static )?Runai\.GpuMemory\.?([\w.]*);", RegexOptions.Multiline)]
    private static partial Regex Using();

    [GeneratedRegex(@"^namespace Runai\.GpuMemory\.?([\w.]*);", RegexOptions.Multiline)]
    private static partial Regex Namespace();

    [Test]
    public void The_namespace_is_the_folder() =>
        Assert.That(
            from file in Sources()
            let name = Namespace().Match(File.ReadAllText(file))
            where name.Success && name.Groups[1].Value.Replace('.', '/') != FolderOf(file)
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
            from Match name in Using().Matches(File.ReadAllText(file))
            let used = name.Groups[1].Value.Replace('.', '/')
            where Array.IndexOf(Order, used) > own
            select $"{file}: {used}",
            Is.Empty
        );
}
