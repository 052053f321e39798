using System.Globalization;
using System.Text;

namespace Runai.GpuMemory.Volumes;

/// <summary>One line of <c>/proc/…/mountinfo</c>.</summary>
/// <param name="Device"><c>major:minor</c> of the file system; the same text for the same file system in every process's list.</param>
/// <param name="Root">Which directory (or file) of the file system is mounted.</param>
/// <param name="Target">Where, as the process of the list sees it.</param>
/// <param name="PeerGroup">Mounts of one group have the same mounts below them, whatever namespace they are in; null for one that shares nothing.</param>
/// <param name="Id">The mount's own, in the whole kernel.</param>
/// <param name="Parent">The mount on which it is.</param>
public sealed record MountEntry(string Device, string Root, string Target, string? PeerGroup = null, int Id = 0, int Parent = 0)
{
    /// <summary>The peer group whose mounts and unmounts below it come here too; null for none.</summary>
    public string? Master { get; init; }

    /// <summary>Stands at the end of a list for the mounts that were not kept, because they are too many or their paths too long.</summary>
    public static MountEntry More { get; } = new("", "", "");

    /// <summary>Whether what happens below other mounts stays away from here.</summary>
    public bool IsPrivate => PeerGroup is null && Master is null;

    /// <summary>Whether what is mounted was deleted since: it is an empty folder now.</summary>
    public bool IsDeleted => Root.EndsWith("//deleted", StringComparison.Ordinal);

    /// <summary>Reads a line. Null for one that is no mount entry.</summary>
    public static MountEntry? Parse(string line)
    {
        // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        var fields = line.Split(' ', 7);
        return fields.Length == 7 && fields[2].Contains(':') && fields[3].Length > 0 && fields[4].Length > 0
            && int.TryParse(fields[0], NumberStyles.None, CultureInfo.InvariantCulture, out var id) && int.TryParse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture, out var parent)
            ? new MountEntry(fields[2], Unescape(fields[3]), Unescape(fields[4]), Optional(fields[6], "shared:"), id, parent) { Master = Optional(fields[6], "master:") } : null;
    }

    /// <summary>The value of one of the optional fields, which end with a lone dash.</summary>
    static string? Optional(string rest, string name)
    {
        foreach (var field in rest.Split(' '))
        {
            if (field == "-") return null;
            if (field.StartsWith(name, StringComparison.Ordinal)) return field[name.Length..];
        }
        return null;
    }

    /// <summary>The kernel writes space, tab, newline, backslash and <c>#</c> as a backslash and three octal digits.</summary>
    public static string Unescape(string text)
    {
        if (!text.Contains('\\')) return text;
        var plain = new StringBuilder(text.Length);
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 3 < text.Length && Octal(text.AsSpan(i + 1, 3)) is { } value)
            {
                plain.Append((char)value);
                i += 3;
            }
            else plain.Append(text[i]);
        }
        return plain.ToString();
    }

    static int? Octal(ReadOnlySpan<char> digits)
    {
        var value = 0;
        foreach (var digit in digits)
        {
            if (digit is < '0' or > '7') return null;
            value = value * 8 + (digit - '0');
        }
        return value < 128 ? value : null;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Device} {Root} on {Target}");
}

/// <summary>What processes have mounted, by the kernel's word.</summary>
public interface IMountTable
{
    /// <summary>Of the plugin itself, one by one.</summary>
    IEnumerable<MountEntry> Own();
    /// <summary>Of another process; empty when it is gone. Ends with <see cref="MountEntry.More"/> where it is not whole.</summary>
    IReadOnlyList<MountEntry> OfProcess(int pid);
    /// <summary>The same one by one, for who needs none of them for longer: then all of them.</summary>
    IEnumerable<MountEntry> OneByOne(int pid) => OfProcess(pid);
    /// <summary>Of all processes of this host, one by one; once for those that share their mounts.</summary>
    IEnumerable<(int Pid, IEnumerable<MountEntry> Mounts)> All();
    /// <summary>Whether the process is in the control group of this container. False where the kernel does not show it.</summary>
    bool IsInContainer(int pid, string container) => false;
    /// <summary>The containers whose control groups the process is in, the outer one first: what has the form of an ID in their paths.</summary>
    IReadOnlyList<string> ContainersOf(int pid) => [];
}

/// <summary>The table as <c>/proc</c> shows it.</summary>
public sealed class ProcMountTable : IMountTable
{
    /// <summary>Of a list that is kept: mounts, and characters of their paths. Who may mount can make a hundred thousand, with paths of any length.</summary>
    internal const int MostMounts = 8000, MostChars = 1 << 20;
    /// <summary>Of a line: two paths of the kernel's longest, each character of them written as four, and what stands between.</summary>
    internal const int MostLine = 40_000;

    // The thread's list, not the process's: the same in the plugin, and in tests a thread can have mounts of its own.
    public IEnumerable<MountEntry> Own() => Readable(Read("/proc/thread-self/mountinfo"));

    public IReadOnlyList<MountEntry> OfProcess(int pid) => Keep(Read(PathOf(pid)));

    public IEnumerable<MountEntry> OneByOne(int pid) => Readable(Read(PathOf(pid)));

    static string? PathOf(int pid) => pid > 0 ? string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/mountinfo") : null;

    public IEnumerable<(int Pid, IEnumerable<MountEntry> Mounts)> All()
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var pid)) continue;
            if (FirstId(folder + "/mountinfo") is { } id && seen.Add(id)) yield return (pid, OneByOne(pid));
        }
    }

    public bool IsInContainer(int pid, string container) => container.Length == 64 && ControlGroups(pid).Contains(container, StringComparison.Ordinal);

    public IReadOnlyList<string> ContainersOf(int pid) => ContainersIn(ControlGroups(pid));

    internal static IReadOnlyList<string> ContainersIn(string controlGroups) =>
        [.. controlGroups.Split('/', '-', '.', '\n').Where(part => part.Length == 64 && part.All(char.IsAsciiHexDigitLower)).Distinct(StringComparer.Ordinal)];

    // 0::/docker/<ID>, 0::/system.slice/docker-<ID>.scope, or a line like these for each controller of version 1.
    static string ControlGroups(int pid)
    {
        try
        {
            return File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/cgroup"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    /// <summary>The number of the first mount. Numbers are the whole kernel's, so lists that begin alike are of one mount namespace.</summary>
    static string? FirstId(string path)
    {
        try
        {
            Span<byte> start = stackalloc byte[64];
            using var file = File.OpenHandle(path);
            start = start[..RandomAccess.Read(file, start, 0)];
            var end = start.IndexOf((byte)' ');
            return end < 0 ? null : Encoding.ASCII.GetString(start[..end]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    static IEnumerable<(MountEntry? Entry, bool IsCut)> Read(string? path)
    {
        using var file = path is null ? null : Open(path);
        if (file is null) yield break;
        foreach (var line in Lines(file)) yield return line;
    }

    static FileStream? Open(string path)
    {
        try
        {
            return new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Each line, and whether of what counts of it something was left out.</summary>
    internal static IEnumerable<(MountEntry? Entry, bool IsCut)> Lines(Stream file) =>
        BoundedLines.Read(file, MostLine).Select(line => (MountEntry.Parse(line.Text), line.IsCut && !line.Text.Contains(" - ", StringComparison.Ordinal)));

    internal static IEnumerable<MountEntry> Readable(IEnumerable<(MountEntry? Entry, bool IsCut)> lines) => lines.Select(line => line.Entry).OfType<MountEntry>();

    internal static IReadOnlyList<MountEntry> Keep(IEnumerable<(MountEntry? Entry, bool IsCut)> lines)
    {
        var (kept, chars) = (new List<MountEntry>(), 0);
        foreach (var (entry, isCut) in lines)
        {
            chars += entry is null ? 0 : entry.Root.Length + entry.Target.Length;
            if (isCut || chars > MostChars || kept.Count == MostMounts) return [.. kept, MountEntry.More];
            if (entry is not null) kept.Add(entry);
        }
        return kept;
    }
}
