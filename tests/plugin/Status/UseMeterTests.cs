// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Status;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Status;

sealed class UseMeterTests : StatusFixture
{
    [Test]
    public async Task All_who_look_within_two_seconds_share_a_measurement()
    {
        for (var n = 0; n < 5; n++)
            await Meter.MeasureAsync(CancellationToken.None);
        Assert.That(Driver.Reads, Is.EqualTo(1));
        Clock.Advance(VolumeLooks.MaxAge);
        Assert.That((await Meter.MeasureAsync(CancellationToken.None))!.Time, Is.EqualTo(Clock.GetUtcNow()));
        Assert.That(Driver.Reads, Is.EqualTo(2));
    }

    /// <summary>A driver that hangs keeps whoever asks it.</summary>
    [Test]
    public async Task One_measurement_runs_and_waits_are_short()
    {
        var first = (await Meter.MeasureAsync(CancellationToken.None))!;
        Clock.Advance(VolumeLooks.MaxAge);
        using var gate = Driver.Gate = new();
        var waiting = Enumerable.Range(0, 20).Select(_ => Meter.MeasureAsync(CancellationToken.None)).ToArray();
        Assert.That(waiting.Any(one => one.IsCompleted), Is.False);
        Clock.Advance(UseMeter.MaxWait);
        foreach (var one in waiting)
            Assert.That(await one, Is.SameAs(first), "the last there is, with its time");
        Assert.That(Meter.MeasureAsync(CancellationToken.None).IsCompleted, "who comes later does not wait at all");
        gate.Set();
        SpinWait.SpinUntil(() => Meter.Last != first, TimeSpan.FromSeconds(20));
        Assert.That(Meter.Last!.Time, Is.EqualTo(first.Time + VolumeLooks.MaxAge));
        Assert.That((Driver.Reads, Driver.MostAtOnce), Is.EqualTo((2, 1)));
    }

    [Test]
    public async Task A_failed_measurement_is_reported_and_the_next_follows()
    {
        Driver.Failure = new InvalidOperationException("a bug");
        Assert.That(await Meter.MeasureAsync(CancellationToken.None), Is.Null);
        Assert.That(Log, Has.One.StartsWith("Error 700 "));
        Driver.Failure = null;
        Assert.That(await Meter.MeasureAsync(CancellationToken.None), Is.Not.Null);
    }

    [Test]
    public void Nothing_is_measured_where_nobody_looks()
    {
        Run("web", "0.5", 10, [Gpu0]);
        _ = Summary();
        Clock.Advance(TimeSpan.FromHours(1));
        Assert.That((Driver.Reads, Meter.Last), Is.EqualTo((0, (MeasuredUse?)null)));
    }
}
