// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;

namespace Runai.GpuMemory.Volumes;

/// <summary>One line of <c>/proc/…/mountinfo</c>.</summary>
/// <param name="Device"><c>major:minor</c> of the file system; the same text for the same file system in every
/// process's list.</param>
/// <param name="Root">Which directory (or file) of the file system is mounted.</param>
/// <param name="Target">Where, as the process of the list sees it.</param>
/// <param name="PeerGroup">Mounts of one group have the same mounts below them, whatever namespace they are in; null
/// for one that shares nothing.</param>
/// <param name="Id">The mount's own, in the whole kernel.</param>
/// <param name="Parent">The mount on which it is.</param>
sealed record MountEntry(
    string Device,
    string Root,
    string Target,
    string? PeerGroup = null,
    int Id = 0,
    int Parent = 0
)
{
    /// <summary>The peer group whose mounts and unmounts below it come here too; null for none.</summary>
    public string? Master { get; init; }

    /// <summary>Stands at the end of a list for the mounts that were not kept, because they are too many or their paths
    /// too long.</summary>
    public static MountEntry More { get; } = new("", "", "");

    /// <summary>Stands in the list of a process that lives and whose mounts cannot be read: what it has mounted is
    /// unknown.</summary>
    public static MountEntry Unreadable { get; } = new("", "", "");

    /// <summary>Whether what happens below other mounts stays away from here.</summary>
    public bool IsPrivate => PeerGroup is null && Master is null;

    /// <summary>Whether what is mounted was deleted since: it is an empty folder now.</summary>
    public bool IsDeleted => Root.EndsWith("//deleted", StringComparison.Ordinal);

    /// <summary>Reads a line. Null for one that is no mount entry.</summary>
    public static MountEntry? Parse(string line)
    {
        // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        var fields = line.Split(' ', 7);
        return
            fields.Length == 7
            && fields[2].Contains(':')
            && fields[3].Length > 0
            && fields[4].Length > 0
            && int.TryParse(fields[0], NumberStyles.None, CultureInfo.InvariantCulture, out var id)
            && int.TryParse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture, out var parent)
            ? new MountEntry(
                fields[2],
                Unescape(fields[3]),
                Unescape(fields[4]),
                Optional(fields[6], "shared:"),
                id,
                parent
            )
            {
                Master = Optional(fields[6], "master:"),
            }
            : null;
    }

    /// <summary>The value of one of the optional fields, which end with a lone dash.</summary>
    static string? Optional(string rest, string name)
    {
        foreach (var field in rest.Split(' '))
        {
            if (field == "-")
                return null;
            if (field.StartsWith(name, StringComparison.Ordinal))
                return field[name.Length..];
        }
        return null;
    }

    /// <summary>The kernel writes space, tab, newline, backslash and <c>#</c> as a backslash and three octal
    /// digits.</summary>
    public static string Unescape(string text)
    {
        if (!text.Contains('\\'))
            return text;
        var plain = new StringBuilder(text.Length);
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 3 < text.Length && Octal(text.AsSpan(i + 1, 3)) is { } value)
            {
                plain.Append((char)value);
                i += 3;
            }
            else
                plain.Append(text[i]);
        }
        return plain.ToString();
    }

    static int? Octal(ReadOnlySpan<char> digits)
    {
        var value = 0;
        foreach (var digit in digits)
        {
            if (digit is < '0' or > '7')
                return null;
            value = value * 8 + (digit - '0');
        }
        return value < 128 ? value : null;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Device} {Root} on {Target}");
}
