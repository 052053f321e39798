// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Tests.Reconciliation;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

/// <summary>How often a process whose mounts the engine took away ends itself.</summary>
sealed class HostViewTests
{
    readonly ConcurrentQueue<string> _log = [];
    FakeTimeProvider _time = null!;
    string _folder = "";
    int _ends;

    [SetUp]
    public void SetUp()
    {
        _folder = Directory.CreateTempSubdirectory("host").FullName;
        (_ends, _time) = (0, new(DateTimeOffset.UtcNow));
        _log.Clear();
    }

    [TearDown]
    public void TearDown() => Directory.Delete(_folder, recursive: true);

    /// <summary>A process of the plugin: each has an object of its own, and the folder stays.</summary>
    HostView Process()
    {
        var settings = new PluginSettings { State = _folder };
        var (layout, mounts) = (new StateLayout(settings), new ProcMountTable());
        return new(
            layout,
            mounts,
            new PrivateDirectories(layout, new ShimStore(layout), mounts),
            new PluginIdentity(layout, settings, mounts),
            _time,
            new ListLogger<HostView>(_log),
            () => _ends++
        );
    }

    [Test]
    public void The_plugin_restarts_at_most_twice_a_minute()
    {
        Process().RestartProcess();
        Process().RestartProcess();
        Assert.That(_ends, Is.EqualTo(1));
        Assert.That(_log.Last(), Does.StartWith("Error 209 "));
        _time.Advance(TimeSpan.FromSeconds(31));
        Process().RestartProcess();
        Assert.That(_ends, Is.EqualTo(2));
    }

    /// <summary>Engines that were killed and started every ten seconds lost all their containers at each third
    /// boot.</summary>
    [Test]
    public void An_engine_that_takes_the_mounts_ends_the_process()
    {
        for (var boot = 1; boot <= 5; boot++)
        {
            Process().RestartProcess();
            Assert.That(_ends, Is.EqualTo(boot));
            Process().Settled();
        }
    }
}
