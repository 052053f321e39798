// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.CliTests;

/// <summary>A command line, and what docker has to get of it.</summary>
/// <param name="Words">For runai-docker.</param>
/// <param name="Expected">For docker.</param>
/// <param name="Quota">The value of the last --gpu-memory; null: there is none.</param>
sealed record GeneratedLine(byte[][] Words, byte[][] Expected, string? Quota)
{
    /// <summary>For messages: one word in brackets each.</summary>
    public override string ToString() => Show(Words);

    public static string Show(IEnumerable<byte[]> words) =>
        string.Concat(words.Select(word => $"[{Encoding.Latin1.GetString(word)}]"));
}
