// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Tests.Common;

sealed class LargeInputTests
{
    const int Large = 1 << 20;

    static ValueTask<HeldInput<int>> Read(
        LargeInput input,
        int bytes,
        int length = 0,
        Func<ReadOnlyMemory<byte>, int>? parse = null
    ) => input.ReadAsync(new MemoryStream(new byte[bytes]), parse ?? (all => all.Length), default, length);

    static async Task<HeldInput<int>[]> FillAsync(LargeInput input, int bytes, int count) =>
        await Task.WhenAll(Enumerable.Range(0, count).Select(_ => Read(input, bytes, bytes).AsTask()).ToArray());

    /// <summary>Hundreds of bodies just below a bound are as many bytes as a few above it.</summary>
    [TestCase(LargeInput.SmallBytes, 128)]
    [TestCase(LargeInput.MediumBytes, 16)]
    [TestCase(66_000, 16)]
    [TestCase(LargeInput.MediumBytes + 1, 1)]
    public async Task Simultaneous_reads_are_counted_whatever_their_size(int bytes, int atOnce)
    {
        var input = new LargeInput(maxWaiting: 1, Timeout.InfiniteTimeSpan);
        var held = await FillAsync(input, bytes, atOnce);
        var next = Read(input, bytes, bytes).AsTask();
        Assert.That(next.IsCompleted, Is.False);
        Assert.That(
            async () => await Read(input, bytes, bytes),
            Throws.InstanceOf<OverloadedException>(),
            "one waits already"
        );
        held[0].Dispose();
        held[0].Dispose();
        Assert.That((await next).Value, Is.EqualTo(bytes));
        Assert.That(Read(input, bytes, bytes).AsTask().IsCompleted, Is.False, "who gives back twice gives back once");
    }

    [Test]
    public async Task Calls_wait_only_for_others_of_their_size()
    {
        var input = new LargeInput(maxWaiting: 1, Timeout.InfiniteTimeSpan);
        using var large = await Read(input, Large);
        using var medium = await Read(input, LargeInput.MediumBytes, LargeInput.MediumBytes);
        using var small = await Read(input, 100);
        Assert.That((large.Value, medium.Value, small.Value), Is.EqualTo((Large, LargeInput.MediumBytes, 100)));
        var next = Read(input, Large).AsTask();
        Assert.That(next.IsCompleted, Is.False);
        large.Dispose();
        Assert.That((await next).Value, Is.EqualTo(Large));
    }

    [Test]
    public async Task An_unknown_length_is_counted_as_it_comes()
    {
        var input = new LargeInput(maxWaiting: 1, TimeSpan.FromMilliseconds(1));
        using var large = await Read(input, Large);
        Assert.That(
            async () => await Read(input, LargeInput.MediumBytes + 1),
            Throws.InstanceOf<OverloadedException>()
        );
        Assert.That(
            await FillAsync(input, LargeInput.MediumBytes, 16),
            Has.Length.EqualTo(16),
            "and gives its places back"
        );
    }

    [Test]
    public async Task A_failure_gives_its_place_back()
    {
        var input = new LargeInput(maxWaiting: 1, Timeout.InfiniteTimeSpan);
        Assert.That(
            async () => await Read(input, Large, parse: _ => throw new InvalidOperationException()),
            Throws.InvalidOperationException
        );
        using var next = await Read(input, Large);
        Assert.That(next.Value, Is.EqualTo(Large));
    }

    [Test]
    public async Task A_hanging_call_does_not_hold_up_the_next()
    {
        var input = new LargeInput(maxWaiting: 1, TimeSpan.FromMilliseconds(1));
        using (await Read(input, Large))
            Assert.That(async () => await Read(input, Large), Throws.InstanceOf<OverloadedException>());
        using var next = await Read(input, Large);
        Assert.That(next.Value, Is.EqualTo(Large));
    }
}
