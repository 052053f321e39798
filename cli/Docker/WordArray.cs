// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Cli.Docker;

/// <summary>Words as the C library takes them: pointers to texts that end with a NUL, and a null pointer
/// last.</summary>
sealed unsafe class WordArray : IDisposable
{
    readonly int _count;

    public WordArray(IReadOnlyList<byte[]> words)
    {
        _count = words.Count;
        Pointers = (byte**)NativeMemory.AllocZeroed((nuint)(_count + 1), (nuint)sizeof(byte*));
        for (var n = 0; n < _count; n++)
        {
            Pointers[n] = (byte*)NativeMemory.AllocZeroed((nuint)words[n].Length + 1);
            words[n].CopyTo(new Span<byte>(Pointers[n], words[n].Length));
        }
    }

    /// <summary>The array, valid until this is disposed of.</summary>
    public byte** Pointers { get; }

    public void Dispose()
    {
        for (var n = 0; n < _count; n++)
            NativeMemory.Free(Pointers[n]);
        NativeMemory.Free(Pointers);
    }
}
