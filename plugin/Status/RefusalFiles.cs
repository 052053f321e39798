// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Status;

/// <summary>From the file <c>usage/refused</c> that a container's shims share (docs/shim.md): a line
/// <c>UUID COUNT BYTES TIME</c> for each GPU, padded with blanks, with the size of the last refused call and its time
/// in milliseconds since 1970. Whoever is in the container can write anything there: of what is not of this form
/// nothing counts.</summary>
sealed class RefusalFiles(StateLayout layout) : IRefusals
{
    public const string Name = "refused";
    internal const int MaxBytes = 4 << 10,
        MaxUuid = 64;

    static readonly IReadOnlyDictionary<string, Refusals> None = new Dictionary<string, Refusals>();

    public IReadOnlyDictionary<string, Refusals>? Read(string directory)
    {
        var folder = Path.Combine(layout.Mount(directory), StateLayout.UsageName);
        if (!IsMounted(folder))
            return null;
        var text = ServedFile.TryReadUntrusted(Path.Combine(folder, Name), MaxBytes);
        return text is { Length: > 0 } ? Parse(text) : None;
    }

    /// <summary>The tmpfs has the sticky bit, and the folder below it has not.</summary>
    static bool IsMounted(string folder)
    {
        try
        {
            return File.GetUnixFileMode(folder).HasFlag(UnixFileMode.StickyBit);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>The first line of a GPU counts.</summary>
    internal static Dictionary<string, Refusals> Parse(ReadOnlySpan<byte> text)
    {
        var found = new Dictionary<string, Refusals>(StringComparer.Ordinal);
        foreach (var line in Encoding.ASCII.GetString(text).Split('\n'))
            if (
                line.TrimEnd(' ').Split(' ') is [{ Length: > 0 and <= MaxUuid } uuid, var count, var bytes, var time]
                && uuid.All(c => char.IsAsciiLetterOrDigit(c) || c == '-')
                && Number(count) is { } refused
                && Number(bytes) is { } last
                && Number(time) is { } at
            )
                found.TryAdd(uuid, new(refused, last, TimeOf(at)));
        return found;
    }

    static long? Number(string text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? Math.Min(number, StatusContract.MaxNumber)
            : null;

    static DateTimeOffset? TimeOf(long milliseconds) =>
        milliseconds <= DateTimeOffset.MaxValue.ToUnixTimeMilliseconds()
            ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds)
            : null;
}
