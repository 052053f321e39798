// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.Common;

/// <summary>Reads lines of any length, of which each is kept as far as a bound, and only until the next is
/// read.</summary>
static class BoundedLines
{
    const int BufferChars = 16 << 10;

    /// <summary>Lines without their newline, the last one also where it has none. <c>IsCut</c>: the line was longer
    /// than the bound. The stream is left open.</summary>
    /// <param name="stream">UTF-8. Where it cannot be read on, it ends.</param>
    /// <param name="max">Of a line, in characters.</param>
    public static IEnumerable<(string Text, bool IsCut)> Read(Stream stream, int max)
    {
        using var reader = new StreamReader(
            stream,
            Encoding.UTF8,
            detectEncodingFromByteOrderMarks: false,
            BufferChars,
            leaveOpen: true
        );
        var buffer = new char[BufferChars];
        var line = new StringBuilder();
        var isCut = false;
        for (int count; (count = TryRead(reader, buffer)) > 0; )
        {
            for (int start = 0, end; start < count; start = end + 1)
            {
                end = Array.IndexOf(buffer, '\n', start, count - start);
                var length = (end < 0 ? count : end) - start;
                isCut |= length > max - line.Length;
                line.Append(buffer, start, Math.Min(length, max - line.Length));
                if (end < 0)
                    break;
                yield return (line.ToString(), isCut);
                line.Clear();
                isCut = false;
            }
        }
        if (line.Length > 0)
            yield return (line.ToString(), isCut);
    }

    static int TryRead(StreamReader reader, char[] buffer)
    {
        try
        {
            return reader.Read(buffer, 0, buffer.Length);
        }
        catch (IOException)
        {
            return 0; // the process ended
        }
    }
}
