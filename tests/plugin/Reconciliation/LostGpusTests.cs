// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Tests.Status;

namespace Runai.GpuMemory.Tests.Reconciliation;

/// <summary>Containers whose device rules were written again without their GPU.</summary>
sealed class LostGpusTests
{
    readonly string _id = new('a', 64);
    readonly RunningContainers _running = new();
    readonly FakeRules _rules = new();
    readonly ConcurrentQueue<string> _log = [];
    LostGpus _lost = null!;

    [SetUp]
    public void SetUp()
    {
        _log.Clear();
        _lost = new(_running, _rules, new(), new FakeTimeProvider(), new ListLogger<LostGpus>(_log));
    }

    [TearDown]
    public void TearDown() => _lost.Dispose();

    RunningContainer Run(int pid, bool hasGpu = true)
    {
        _running.Set(
            new()
            {
                Id = _id,
                Name = "/web",
                State = new() { Running = true, Pid = pid },
            },
            new() { Gpu = hasGpu ? new("--gpus", GpuSelection.All) : null },
            null,
            []
        );
        return _running.All.Single();
    }

    bool IsLost(RunningContainer container)
    {
        _lost.Look();
        return _lost.IsLost(container);
    }

    [Test]
    public void A_lost_GPU_is_reported_once()
    {
        var container = Run(10);
        _rules.Allowed[10] = true;
        Assert.That(IsLost(container), Is.False);
        _rules.Allowed[10] = false;
        for (var n = 0; n < 3; n++)
            Assert.That(IsLost(container));
        Assert.That(_log.Single(), Does.StartWith($"Warning 518 container={_id} name=web has lost its GPU"));
        _rules.Allowed[10] = true;
        Assert.That(IsLost(container), Is.False, "it has it again");
        _rules.Allowed[10] = false;
        Assert.That(IsLost(container));
        Assert.That(_log, Has.Count.EqualTo(2));
    }

    [TestCase(false, Description = "never had one by these rules: a simulated GPU, or a runtime that asks for none")]
    [TestCase(null, Description = "nobody can say")]
    public void Who_never_could_has_lost_nothing(bool? isAllowed)
    {
        var container = Run(10);
        _rules.Allowed[10] = isAllowed;
        Assert.That(IsLost(container), Is.False);
        Assert.That(IsLost(container), Is.False);
        Assert.That(_log, Is.Empty);
    }

    [Test]
    public void An_unknown_moment_is_no_loss()
    {
        var container = Run(10);
        _rules.Allowed[10] = true;
        Assert.That(IsLost(container), Is.False);
        _rules.Allowed[10] = null;
        Assert.That(IsLost(container), Is.False);
        _rules.Allowed[20] = false;
        Assert.That(IsLost(Run(20)), Is.False);
        _running.Remove(_id);
        _lost.Look();
        Assert.That(_log, Is.Empty);
    }

    [Test]
    public void Containers_without_a_GPU_are_not_looked_at()
    {
        var container = Run(10, hasGpu: false);
        _rules.Allowed[10] = true;
        _lost.Look();
        _rules.Allowed[10] = false;
        Assert.That(IsLost(container), Is.False);
    }
}
