// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Exporter;

namespace Runai.GpuMemory.CliTests.Exporter;

sealed class SharedReadingTests
{
    [Test]
    public async Task Who_asks_while_it_reads_shares_the_reading()
    {
        using var goOn = new ManualResetEventSlim();
        var count = 0;
        var reading = new SharedReading(() =>
        {
            goOn.Wait();
            return [(byte)Interlocked.Increment(ref count)];
        });
        var shared = Enumerable.Range(0, 8).Select(_ => reading.Read()).ToArray();
        goOn.Set();
        foreach (var one in shared)
            Assert.That(await one, Is.EqualTo(new byte[] { 1 }));
        Assert.That(await reading.Read(), Is.EqualTo(new byte[] { 2 }), "who asks later gets a reading of his own");
    }

    [Test]
    public async Task A_reading_that_failed_is_not_kept()
    {
        var count = 0;
        var reading = new SharedReading(() => ++count == 1 ? throw new InvalidOperationException() : [(byte)count]);
        Assert.That(reading.Read, Throws.InvalidOperationException);
        Assert.That(await reading.Read(), Is.EqualTo(new byte[] { 2 }));
    }
}
