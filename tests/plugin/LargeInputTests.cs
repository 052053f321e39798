using NUnit.Framework;

namespace Runai.GpuMemory.Tests;

public class LargeInputTests
{
    static MemoryStream Input(int bytes) => new(new byte[bytes]);

    static ValueTask<int> Read(LargeInput input, int bytes, Func<ReadOnlyMemory<byte>, ValueTask<int>>? use = null) =>
        input.ReadAsync(Input(bytes), use ?? (all => new(all.Length)), default);

    [Test]
    public async Task What_is_large_is_used_by_a_few_at_a_time_and_what_is_small_does_not_wait()
    {
        var input = new LargeInput(atOnce: 2, mostWaiting: 1, Timeout.InfiniteTimeSpan);
        var done = new TaskCompletionSource<int>();
        ValueTask<int> Use(ReadOnlyMemory<byte> all) => new(done.Task);
        var first = Enumerable.Range(0, 2).Select(_ => Read(input, 1 << 20, Use).AsTask()).ToArray();
        var third = Read(input, 1 << 20).AsTask();
        Assert.That(third.IsCompleted, Is.False);
        Assert.That(await Read(input, LargeInput.SmallBytes), Is.EqualTo(LargeInput.SmallBytes));
        Assert.That(async () => await Read(input, LargeInput.SmallBytes + 1), Throws.InstanceOf<BusyException>(), "one waits already");
        done.SetResult(7);
        Assert.That((await first[0], await first[1], await third), Is.EqualTo((7, 7, 1 << 20)));
        Assert.That(await Read(input, 1 << 20), Is.EqualTo(1 << 20));
    }

    [Test]
    public async Task A_failure_gives_its_place_back()
    {
        var input = new LargeInput(atOnce: 1, mostWaiting: 1, Timeout.InfiniteTimeSpan);
        Assert.That(async () => await Read(input, 1 << 20, _ => throw new InvalidOperationException()), Throws.InvalidOperationException);
        Assert.That(await Read(input, 1 << 20), Is.EqualTo(1 << 20));
    }

    [Test]
    public async Task Whoever_hangs_does_not_hang_the_next()
    {
        var input = new LargeInput(atOnce: 1, mostWaiting: 1, TimeSpan.FromMilliseconds(1));
        var done = new TaskCompletionSource<int>();
        var first = Read(input, 1 << 20, _ => new(done.Task)).AsTask();
        Assert.That(async () => await Read(input, 1 << 20), Throws.InstanceOf<BusyException>());
        done.SetResult(7);
        Assert.That(await first, Is.EqualTo(7));
        Assert.That(await Read(input, 1 << 20), Is.EqualTo(1 << 20));
    }
}
