// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Logging;
using NUnit.Framework;

namespace Runai.GpuMemory.Tests;

sealed class PluginSettingsTests
{
    static (PluginSettings Settings, IReadOnlyList<string> Problems) Read(
        params (string Name, string Value)[] environment
    ) => PluginSettings.Read(name => environment.FirstOrDefault(e => e.Name == name).Value);

    [Test]
    public void Nothing_set_is_a_working_configuration()
    {
        var (settings, problems) = Read();
        Assert.That(problems, Is.Empty);
        Assert.That(settings, Is.EqualTo(new PluginSettings()));
    }

    [Test]
    public void An_empty_value_means_not_set()
    {
        var (settings, problems) = Read(("LOG_LEVEL", ""), ("DOCKER_HOST", ""), ("NVML_LIBRARY", ""));
        Assert.That(problems, Is.Empty);
        Assert.That(settings, Is.EqualTo(new PluginSettings()));
    }

    [TestCase("debug", LogLevel.Debug)]
    [TestCase("WARNING", LogLevel.Warning)]
    [TestCase("error", LogLevel.Error)]
    public void Log_levels_are_words(string value, LogLevel expected) =>
        Assert.That(Read(("LOG_LEVEL", value)).Settings.LogLevel, Is.EqualTo(expected));

    [Test]
    public void The_engine_is_a_unix_socket() =>
        Assert.That(
            Read(("DOCKER_HOST", "unix:///host/run/other.sock")).Settings.EngineSocket,
            Is.EqualTo("/host/run/other.sock")
        );

    [TestCase("0", 0)]
    [TestCase("5", 5)]
    [TestCase("86400", 86400)]
    public void The_use_is_watched_every_so_many_seconds(string value, int seconds) =>
        Assert.That(Read(("WATCH_USE", value)).Settings.WatchUse, Is.EqualTo(TimeSpan.FromSeconds(seconds)));

    [TestCase("-1")]
    [TestCase("86401")]
    [TestCase("1.5")]
    [TestCase("30s")]
    public void Other_seconds_are_a_problem(string value) =>
        Assert.That(
            Read(("WATCH_USE", value)).Problems,
            Is.EqualTo(new[] { $"WATCH_USE={value} is no number of seconds from 0 to 86400" })
        );

    [Test]
    public void All_problems_are_reported_at_once()
    {
        var (_, problems) = Read(
            ("LOG_LEVEL", "loud"),
            ("DOCKER_HOST", "tcp://1.2.3.4:2375"),
            ("NVML_LIBRARY", "libnvidia-ml.so.1")
        );
        Assert.That(problems, Has.Count.EqualTo(3));
        Assert.That(
            problems,
            Has.Some.Contains("LOG_LEVEL=loud")
                .And.Some.Contains("tcp://1.2.3.4:2375")
                .And.Some.Contains("not an absolute path")
        );
    }
}
