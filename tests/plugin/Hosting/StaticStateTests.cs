// SPDX-License-Identifier: Apache-2.0
using System.Text.RegularExpressions;
using Microsoft.Extensions.Hosting;
using NUnit.Framework;
using Runai.GpuMemory.Hosting;

namespace Runai.GpuMemory.Tests.Hosting;

sealed partial class StaticStateTests
{
    static string Source([System.Runtime.CompilerServices.CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "../../../plugin");

    [Test]
    public void All_types_can_be_initialized_at_the_start() => Assert.That(StaticState.Initialize, Throws.Nothing);

    [Test]
    public void The_program_initializes_types_before_it_serves() =>
        Assert.That(
            File.ReadAllText(Path.Combine(Source(), "Program.cs"))
                .IndexOf("StaticState.Initialize();", StringComparison.Ordinal),
            Is.Positive.And.LessThan(
                File.ReadAllText(Path.Combine(Source(), "Program.cs"))
                    .IndexOf("CreateEmptyBuilder", StringComparison.Ordinal)
            )
        );

    /// <summary>What escapes from a background service ends the host.</summary>
    [Test]
    public void Every_background_service_outlives_its_failures()
    {
        var services = typeof(StaticState)
            .Assembly.GetTypes()
            .Where(type => type.IsSubclassOf(typeof(BackgroundService)))
            .Select(type => type.Name)
            .ToArray();
        Assert.That(services, Has.Length.GreaterThan(6));
        var loops = Directory
            .EnumerateFiles(Source(), "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.Contains("/obj/", StringComparison.Ordinal))
            .Select(File.ReadAllText)
            .SelectMany(text =>
                Service().Matches(text).Select(match => (Name: match.Groups[1].Value, Body: text[match.Index..]))
            )
            .Where(service => service.Body.Contains("Loop.", StringComparison.Ordinal))
            .Select(service => service.Name);
        Assert.That(loops, Is.SupersetOf(services));
        Assert.That(
            Directory
                .EnumerateFiles(Source(), "*.cs", SearchOption.AllDirectories)
                .Where(file =>
                    !file.EndsWith("Loop.cs", StringComparison.Ordinal)
                    && File.ReadAllText(file).Contains("new PeriodicTimer", StringComparison.Ordinal)
                ),
            Is.Empty
        );
    }

    [GeneratedRegex(@"class (\w+)[^{]*?BackgroundService")]
    private static partial Regex Service();
}
