// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Engine;

/// <summary>Reads no more than so many bytes of an answer; a longer one is an <see cref="EngineException"/>.</summary>
sealed class BoundedStream(Stream inner, long max) : ReadOnlyStream(inner)
{
    long _read;

    /// <summary>Reads the rest; never null. Throws <see cref="EngineException"/> if it is too long, and what the inner
    /// stream throws.</summary>
    public async Task<byte[]?> ReadAllAsync(CancellationToken cancel)
    {
        using var all = new MemoryStream();
        await CopyToAsync(all, cancel);
        return all.ToArray();
    }

    public override async ValueTask<int> ReadAsync(
        Memory<byte> buffer,
        CancellationToken cancellationToken = default
    ) => Count(await Inner.ReadAsync(buffer, cancellationToken));

    public override int Read(byte[] buffer, int offset, int count) => Count(Inner.Read(buffer, offset, count));

    int Count(int read) =>
        (_read += read) <= max
            ? read
            : throw new EngineException($"the engine's answer is longer than {max} bytes") { IsTooLong = true };
}
