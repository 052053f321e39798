// SPDX-License-Identifier: Apache-2.0
using System.Buffers;

namespace Runai.GpuMemory.Common;

/// <summary>Reads input whose size others decide. All that is read or used at the same time is counted, for it
/// takes some ten times its size of memory meanwhile: of small inputs there
/// may be many, of larger ones some, of those that are megabytes one. Who waits for a place waits for others of his
/// size only.</summary>
/// <param name="maxWaiting">How many may wait for a place of a size; whoever comes then is a
/// <see cref="OverloadedException"/>.</param>
/// <param name="timeout">How long one may wait for that, before it is one too: whoever hangs shall not hang
/// others.</param>
#pragma warning disable CA1001 // one a process, and no wait handle was made of it
sealed class LargeInput(int maxWaiting, TimeSpan timeout)
{
    /// <summary>The longest small input. Nearly all calls are small.</summary>
    public const int SmallBytes = 16 << 10;

    /// <summary>The longest medium input. Of longer ones only one is read at a time.</summary>
    public const int MediumBytes = 128 << 10;

    /// <summary>2 MiB of each of the first two.</summary>
    readonly Size[] _sizes = [new(SmallBytes, 128), new(MediumBytes, 16), new(int.MaxValue, 1)];

    sealed class Size(int maxBytes, int places)
    {
        public int MaxBytes => maxBytes;
        public SemaphoreSlim Places { get; } = new(places);
        public int Waiting;
    }

    /// <summary>Reads an input and parses it on a thread of the pool. Throws <see cref="OverloadedException"/> if it
    /// gets no place in time, and what stream and parser throw.</summary>
    /// <param name="input">Is read to its end.</param>
    /// <param name="parse">Makes of it all what is of use.</param>
    /// <param name="cancel">Ends the waiting and reading.</param>
    /// <param name="length">How much is to come, where that is known.</param>
    /// <returns>What was made of it. It holds its place until that is disposed.</returns>
    public async ValueTask<HeldInput<T>> ReadAsync<T>(
        Stream input,
        Func<ReadOnlyMemory<byte>, T> parse,
        CancellationToken cancel,
        int length = 0
    )
    {
        var hold = new Hold();
        try
        {
            var size = await EnterAsync(hold, 0, length, cancel);
            using var all = new MemoryStream(Math.Max(length, 0)); // to grow would take twice as much in between
            var buffer = ArrayPool<byte>.Shared.Rent(16 << 10);
            try
            {
                while (await input.ReadAsync(buffer, cancel) is > 0 and var read)
                {
                    size = await EnterAsync(hold, size, all.Length + read, cancel);
                    all.Write(buffer, 0, read);
                }
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
            await SocketThread.Leave();
            return new(parse(all.GetBuffer().AsMemory(0, (int)all.Length)), hold);
        }
        catch
        {
            hold.Dispose();
            throw;
        }
    }

    /// <summary>Takes a place for so many bytes in exchange for that of a smaller size. Always upwards, so that no two
    /// wait for each other.</summary>
    async ValueTask<int> EnterAsync(Hold hold, int size, long bytes, CancellationToken cancel)
    {
        var needed = Array.FindIndex(_sizes, one => bytes <= one.MaxBytes) + 1;
        if (needed > size)
        {
            await EnterAsync(_sizes[needed - 1], cancel);
            hold.Move(_sizes[needed - 1].Places);
        }
        return Math.Max(needed, size);
    }

    async Task EnterAsync(Size size, CancellationToken cancel)
    {
        if (size.Places.Wait(0, CancellationToken.None))
            return;
        try
        {
            if (Interlocked.Increment(ref size.Waiting) > maxWaiting || !await size.Places.WaitAsync(timeout, cancel))
                throw new OverloadedException();
        }
        finally
        {
            Interlocked.Decrement(ref size.Waiting);
        }
    }

    sealed class Hold : IDisposable
    {
        SemaphoreSlim? _place;

        /// <summary>Gives back the place of a smaller size.</summary>
        public void Move(SemaphoreSlim? place) => Interlocked.Exchange(ref _place, place)?.Release();

        public void Dispose() => Move(null);
    }
}
#pragma warning restore CA1001
