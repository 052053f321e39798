using System.Formats.Tar;
using System.Text;

namespace Runai.GpuMemory.Admission;

/// <summary>The text of <c>/etc/ld.so.preload</c>, and the tars in which the engine hands it out and takes it.</summary>
static class PreloadFile
{
    /// <summary>A tar of this size carries more names than any image has.</summary>
    public const int MaxBytes = 64 << 10;
    static readonly char[] Blanks = [' ', '\t', '\n', '\r', ':'];

    /// <summary>What the image has there, then the shim; null when the shim is in it already. A shim at another place is one of an earlier container that was committed.</summary>
    public static string? WithShim(string text, string shim)
    {
        var names = Names(text);
        if (names.Contains(shim) && !names.Exists(n => IsOtherShim(n, shim)))
            return null;
        var kept = new StringBuilder();
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var mine = Names(line);
            if (mine.Exists(n => n == shim || IsOtherShim(n, shim)))
                kept.AppendJoin('\n', mine.Where(n => n != shim && !IsOtherShim(n, shim)).Append(""));
            else
                kept.Append(line).Append('\n');
        }
        return kept.ToString().TrimStart('\n') + shim + "\n";
    }

    /// <summary>As the loader reads it: names divided by blanks and colons, a <c>#</c> comments the rest of the line out.</summary>
    static List<string> Names(string text) =>
        [.. text.Split('\n').SelectMany(line => line.Split('#')[0].Split(Blanks, StringSplitOptions.RemoveEmptyEntries))];

    static bool IsOtherShim(string name, string shim) => name != shim && name.EndsWith("/librunai.so", StringComparison.Ordinal);

    /// <summary>The first entry of a tar: a file's bytes, or where a link leads.</summary>
    public static (TarEntryType Type, string Text, string Link) Read(byte[] tar)
    {
        using var reader = new TarReader(new MemoryStream(tar, writable: false));
        var entry = reader.GetNextEntry() ?? throw new InvalidDataException("an empty tar");
        using var text = new MemoryStream();
        entry.DataStream?.CopyTo(text);
        return (entry.EntryType, Encoding.Latin1.GetString(text.ToArray()), entry.LinkName);
    }

    /// <summary>Uncompressed, owner root, mode 0644. <paramref name="folder"/> is made where it is not null.</summary>
    public static byte[] Write(string text, string? folder, DateTimeOffset time)
    {
        using var tar = new MemoryStream();
        using (var writer = new TarWriter(tar, TarEntryFormat.Ustar, leaveOpen: true))
        {
            if (folder is not null)
                writer.WriteEntry(new UstarTarEntry(TarEntryType.Directory, folder + "/") { Mode = (UnixFileMode)0b111_101_101, ModificationTime = time });
            writer.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, (folder is null ? "" : folder + "/") + QuotaMount.PreloadName)
            {
                Mode = (UnixFileMode)0b110_100_100,
                ModificationTime = time,
                DataStream = new MemoryStream(Encoding.Latin1.GetBytes(text)),
            });
        }
        return tar.ToArray();
    }
}
