namespace Runai.GpuMemory.Engine;

/// <summary>Reads no more than so many bytes of an answer; a longer one is an <see cref="EngineException"/>.</summary>
sealed class BoundedStream(Stream inner, long max) : Stream
{
    long _read;

    public async Task<byte[]?> ReadAllAsync(CancellationToken cancel)
    {
        using var all = new MemoryStream();
        await CopyToAsync(all, cancel);
        return all.ToArray();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        Count(await inner.ReadAsync(buffer, cancellationToken));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => Count(inner.Read(buffer, offset, count));

    int Count(int read) => (_read += read) <= max ? read : throw new EngineException($"the engine's answer is longer than {max} bytes") { IsTooLong = true };

    protected override void Dispose(bool disposing)
    {
        if (disposing) inner.Dispose();
        base.Dispose(disposing);
    }

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override void Flush() { }
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
