// SPDX-License-Identifier: Apache-2.0
using System.Formats.Tar;
using System.Text;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>The text of <c>/etc/ld.so.preload</c>, and the tars in which the engine hands it out and takes
/// it.</summary>
static class PreloadFile
{
    /// <summary>A tar of this size carries more names than any image has.</summary>
    public const int MaxBytes = 64 << 10;
    static readonly char[] Blanks = [' ', '\t', '\n', ':'];

    /// <summary>Where it is named before the shim, 32-bit programs start without a complaint: <c>docs/shim.md</c>,
    /// "32-bit programs".</summary>
    public const string Quiet = "/runai/quiet/$PLATFORM";

    /// <summary>The one place of the shim that the quiet libraries know.</summary>
    public const string QuietShim = "/runai/librunai.so";

    /// <summary>What the image has there, then the shim; null when it is so already. A shim at another place is one of
    /// an earlier container that was committed.</summary>
    /// <param name="text">What the image has there.</param>
    /// <param name="shim">The shim's path in the container.</param>
    /// <param name="quiet">Whether the container has 32-bit programs.</param>
    public static string? WithShim(string text, string shim, bool quiet = false)
    {
        string[] wanted = quiet && shim == QuietShim ? [Quiet, shim] : [shim];
        if (!text.Contains('\0') && Names(text).Where(IsOurs).SequenceEqual(wanted))
            return null;
        var kept = new StringBuilder();
        foreach (var line in UntilNul(text))
        {
            var names = Names(line);
            if (names.Exists(IsOurs))
                kept.AppendJoin('\n', names.Where(n => !IsOurs(n)).Append(""));
            else
                kept.Append(line).Append('\n');
        }
        return kept.ToString().TrimStart('\n') + string.Join('\n', wanted) + "\n";

        // What people see as ours may have a carriage return at its end, and names no file then.
        bool IsOurs(string name) =>
            string.Concat(name.Where(c => !char.IsControl(c))) is var seen
            && (seen is Quiet || seen == shim || seen.EndsWith("/librunai.so", StringComparison.Ordinal));
    }

    /// <summary>The lines that the loader reads: outside of a comment a NUL ends the file for it, and whatever stands
    /// behind is never loaded.</summary>
    static IEnumerable<string> UntilNul(string text)
    {
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var names = line.Contains('\0') ? line.Split('#')[0] : line;
            var end = names.IndexOf('\0', StringComparison.Ordinal);
            if (end != 0 && names.Length > 0)
                yield return end < 0 ? names : names[..end];
            if (end >= 0)
                yield break;
        }
    }

    /// <summary>As the loader (glibc's rtld.c) reads it: names divided by blanks and colons, a <c>#</c> comments the
    /// rest of the line out. A carriage return is part of a name.</summary>
    static List<string> Names(string text) =>
        [
            .. text.Split('\n')
                .SelectMany(line => line.Split('#')[0].Split(Blanks, StringSplitOptions.RemoveEmptyEntries)),
        ];

    /// <summary>The first entry of a tar: a file's bytes and mode, or where a link leads.</summary>
    public static (TarEntryType Type, string Text, string Link, UnixFileMode Mode) Read(byte[] tar)
    {
        using var reader = new TarReader(new MemoryStream(tar, writable: false));
        var entry = reader.GetNextEntry() ?? throw new InvalidDataException("an empty tar");
        using var text = new MemoryStream();
        entry.DataStream?.CopyTo(text);
        return (entry.EntryType, Encoding.Latin1.GetString(text.ToArray()), entry.LinkName, entry.Mode);
    }

    /// <summary>Uncompressed, owner root, mode 0644. <paramref name="folder"/> is made where it is not null.</summary>
    /// <param name="files">Names and texts.</param>
    /// <param name="folder">In which they are.</param>
    /// <param name="time">When they were made.</param>
    public static byte[] Write(IEnumerable<(string Name, string Text)> files, string? folder, DateTimeOffset time)
    {
        using var tar = new MemoryStream();
        using (var writer = new TarWriter(tar, TarEntryFormat.Ustar, leaveOpen: true))
        {
            if (folder is not null)
                writer.WriteEntry(
                    new UstarTarEntry(TarEntryType.Directory, folder + "/")
                    {
                        Mode = (UnixFileMode)0b111_101_101,
                        ModificationTime = time,
                    }
                );
            foreach (var (name, text) in files)
                writer.WriteEntry(
                    new UstarTarEntry(TarEntryType.RegularFile, (folder is null ? "" : folder + "/") + name)
                    {
                        Mode = (UnixFileMode)0b110_100_100,
                        ModificationTime = time,
                        DataStream = new MemoryStream(Encoding.Latin1.GetBytes(text)),
                    }
                );
        }
        return tar.ToArray();
    }
}
