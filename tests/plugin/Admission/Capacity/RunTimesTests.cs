// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Admission.Capacity;

namespace Runai.GpuMemory.Tests.Admission.Capacity;

sealed class RunTimesTests
{
    RunTimes _runs = null!;

    [SetUp]
    public void SetUp() => _runs = new();

    static DateTimeOffset At(double seconds) => DateTimeOffset.UnixEpoch.AddSeconds(seconds);

    static string Written(double seconds) => At(seconds).ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff'00Z'", null);

    [Test]
    public void The_called_run_is_known_after_later_restarts()
    {
        _runs.Note("a", At(1.1));
        _runs.Note("a", At(2.1));
        Assert.That(_runs.FindCalled("a", Written(2), 1), Is.EqualTo(At(1.1).ToString("O")));
        Assert.That(
            _runs.FindCalled("a", Written(3), 2),
            Is.EqualTo(At(1.1).ToString("O")),
            "before its own event comes"
        );
        Assert.That(_runs.FindCalled("a", Written(3), 3), Is.Null, "an event was missed");
        Assert.That(_runs.FindCalled("b", Written(3), 1), Is.Null);
    }

    [Test]
    public void Every_look_at_a_run_agrees()
    {
        _runs.Note("a", At(1.1));
        Assert.That(_runs.FindCalled("a", Written(1), 0), Is.EqualTo(Written(1)));
        _runs.Note("a", At(2.1));
        Assert.That(_runs.FindCalled("a", Written(2), 1), Is.EqualTo(Written(1)));
    }

    [Test]
    public void Kept_runs_are_bounded()
    {
        for (var i = 1; i <= RunTimes.MaxRuns + 1; i++)
            _runs.Note("a", At(i));
        Assert.That(_runs.FindCalled("a", Written(1000), RunTimes.MaxRuns), Is.EqualTo(At(2).ToString("O")));
        Assert.That(_runs.FindCalled("a", Written(1000), RunTimes.MaxRuns + 1), Is.Null);
        for (var i = 0; i < RunTimes.MaxEntries; i++)
            _runs.Note($"c{i}", At(1));
        Assert.That(
            (_runs.FindCalled("a", Written(1000), 1), _runs.FindCalled("c0", Written(2), 1)),
            Is.EqualTo(((string?)null, At(1).ToString("O")))
        );
    }
}
