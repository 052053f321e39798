// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.Volumes;

/// <summary>What the shim reads: the quota of one container, or why it has none.</summary>
/// <param name="Container">The container's ID, 64 hex digits.</param>
sealed record QuotaFile(string Container)
{
    public const int MaxBytes = 4096;

    /// <summary>As the user wrote it; null where there is an error.</summary>
    public string? Limit { get; init; }

    /// <summary>Other values for single GPUs, by UUID.</summary>
    public IReadOnlyDictionary<string, string>? GpuLimits { get; init; }

    /// <summary>Shown by the shim where GPU use is refused.</summary>
    public string? Error { get; init; }

    /// <summary>The file's bytes. A long error is cut to what fits; control characters become spaces.</summary>
    public byte[] ToBytes()
    {
        var text = new StringBuilder($"version=1\ncontainer={Line(Container)}\n");
        if (Error is not null)
            return Encoding.UTF8.GetBytes(text.Append("error=").Append(Cut(Line(Error))).Append('\n').ToString());
        text.Append("limit=").Append(Line(Limit ?? "")).Append('\n');
        foreach (
            var (gpu, limit) in (GpuLimits ?? new Dictionary<string, string>()).OrderBy(
                one => one.Key,
                StringComparer.Ordinal
            )
        )
            text.Append("limit.").Append(Line(gpu)).Append('=').Append(Line(limit)).Append('\n');
        var bytes = Encoding.UTF8.GetBytes(text.ToString());
        return bytes.Length <= MaxBytes
            ? bytes
            : (this with { Error = "the quota file would be longer than 4096 bytes" }).ToBytes();
    }

    static string Line(string text) => string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c));

    // At most four bytes of UTF-8 a character, and room for the other lines.
    static string Cut(string text)
    {
        if (Encoding.UTF8.GetByteCount(text) <= 3000)
            return text;
        var cut = 1000;
        if (char.IsHighSurrogate(text[cut - 1]))
            cut--;
        return text[..cut] + "…";
    }
}
