// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Common;

/// <summary>What was made of an input, and its place among all that is read. To be given back as soon as what takes the
/// memory is not needed any more.</summary>
sealed class HeldInput<T>(T value, IDisposable place) : IDisposable
{
    /// <summary>What the parser returned. It may be used after this is disposed, but its memory is no longer
    /// counted.</summary>
    public T Value => value;

    public void Dispose() => place.Dispose();
}
