using System.Buffers;

namespace Runai.GpuMemory;

/// <summary>Reads what somebody else decides the size of. What is large is read and used by a few at a time, for it takes some ten times its size of memory meanwhile; what is small
/// never waits for it.</summary>
/// <param name="atOnce">How many may be large at the same time.</param>
/// <param name="mostWaiting">How many may wait for that; whoever comes then is a <see cref="BusyException"/>.</param>
/// <param name="patience">How long one may wait for that, before it is one too: whoever hangs shall not hang others.</param>
#pragma warning disable CA1001 // one a process, and no wait handle was made of it
sealed class LargeInput(int atOnce, int mostWaiting, TimeSpan patience)
{
    public const int SmallBytes = 128 << 10;

    readonly SemaphoreSlim _room = new(atOnce);
    int _waiting;

    /// <param name="input">Is read to its end.</param>
    /// <param name="use">Gets all of it. Where that is much, others wait until it is done.</param>
    /// <param name="cancel">Ends the waiting and reading.</param>
    /// <param name="length">How much is to come, where that is known.</param>
    public async ValueTask<T> ReadAsync<T>(Stream input, Func<ReadOnlyMemory<byte>, ValueTask<T>> use, CancellationToken cancel, int length = 0)
    {
        using var all = new MemoryStream();
        var (isLarge, buffer) = (false, ArrayPool<byte>.Shared.Rent(16 << 10));
        try
        {
            while (await input.ReadAsync(buffer, cancel) is > 0 and var read)
            {
                if (!isLarge && all.Length + read > SmallBytes)
                {
                    await EnterAsync(cancel);
                    isLarge = true;
                    all.Capacity = Math.Max(all.Capacity, length); // to grow would take twice as much in between
                }
                all.Write(buffer, 0, read);
            }
            return await use(all.GetBuffer().AsMemory(0, (int)all.Length));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            if (isLarge) _room.Release();
        }
    }

    async Task EnterAsync(CancellationToken cancel)
    {
        if (Interlocked.Increment(ref _waiting) <= mostWaiting)
        {
            try
            {
                if (await _room.WaitAsync(patience, cancel)) return;
                throw new BusyException();
            }
            finally
            {
                Interlocked.Decrement(ref _waiting);
            }
        }
        Interlocked.Decrement(ref _waiting);
        throw new BusyException();
    }
}
#pragma warning restore CA1001

/// <summary>There is more to read than can be read at the same time.</summary>
sealed class BusyException() : IOException("too many large calls at the same time: try again");
