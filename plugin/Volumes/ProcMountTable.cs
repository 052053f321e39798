// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Volumes;

/// <summary>The table as <c>/proc</c> shows it.</summary>
sealed class ProcMountTable : IMountTable
{
    /// <summary>Of a list that is kept: mounts, and characters of their paths. Who may mount can make a hundred
    /// thousand, with paths of any length.</summary>
    internal const int MaxMounts = 8000,
        MaxChars = 1 << 20;

    /// <summary>Of a list that is read to be kept: <see cref="MountCopies"/> among it. As many as a mount namespace may
    /// have (the kernel's fs.mount-max, unless an admin changed it).</summary>
    internal const int MaxRead = 100_000;

    /// <summary>Of a line: two paths of the kernel's longest, each character of them written as four, and what stands
    /// between.</summary>
    internal const int MaxLineLength = 40_000;

    /// <summary>How often a list is read that is empty while the process lives: its thread may have ended
    /// meanwhile.</summary>
    const int Attempts = 3;
    const int StackBytes = 256 << 10;

    // The thread's list, not the process's: the same in the plugin, and in tests a thread can have mounts of its own.
    public IEnumerable<MountEntry> Own() => Readable(Read(Open("/proc/thread-self/mountinfo")));

    public IReadOnlyList<MountEntry> OfProcess(int pid) => Keep(Read(pid));

    public IEnumerable<MountEntry> OneByOne(int pid) => Readable(Read(pid));

    public IEnumerable<(int Pid, IEnumerable<MountEntry> Mounts)> All()
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var pid))
                continue;
            if (LivingThread.FolderOf(pid) is not { } living)
                continue;
            if ((NamespaceOf(living) ?? FirstId(living + "/mountinfo")) is not { } id || seen.Add(id))
                yield return (pid, OneByOne(pid));
        }
    }

    /// <summary>As <c>mnt:[4026531841]</c>; null where the plugin may not know it.</summary>
    static string? NamespaceOf(string folder) => new FileInfo(folder + "/ns/mnt").LinkTarget;

    /// <summary>The number of the first mount. Numbers are the whole kernel's, so lists that begin alike are of one
    /// mount namespace.</summary>
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

    static IEnumerable<(MountEntry? Entry, bool IsCut)> Read(int pid)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            if (LivingThread.FolderOf(pid) is not { } folder)
                yield break;
            // A process sees the mounts below its root; where that is a plain folder, none. So whoever has another root
            // than its namespace is asked nothing.
            var isEmpty = true;
            foreach (
                var line in new FileInfo(folder + "/root").LinkTarget is "/" or null
                    ? Read(Open(folder + "/mountinfo"))
                    : []
            )
            {
                isEmpty = false;
                yield return line;
            }
            if (!isEmpty)
                yield break;
            foreach (var line in Read(OpenInside(folder)))
            {
                isEmpty = false;
                yield return line;
            }
            if (!isEmpty)
                yield break;
        }
        if (LivingThread.FolderOf(pid) is not null)
            yield return (MountEntry.Unreadable, false);
    }

    static IEnumerable<(MountEntry? Entry, bool IsCut)> Read(FileStream? stream)
    {
        using var file = stream;
        if (file is null)
            yield break;
        foreach (var line in Lines(file))
            yield return line;
    }

    /// <summary>The list of a whole namespace, as a thread of the plugin's own sees it that enters there.</summary>
    static FileStream? OpenInside(string folder)
    {
        FileStream? file = null;
        var thread = new Thread(
            () =>
            {
                try
                {
                    file = new(MountNamespace.OpenTable(folder), FileAccess.Read, bufferSize: 0);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException) { }
            },
            StackBytes
        )
        {
            IsBackground = true,
            Name = "container's mounts",
        };
        try
        {
            thread.Start();
        }
        catch (OutOfMemoryException)
        {
            return null;
        }
        thread.Join();
        return file;
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
        BoundedLines
            .Read(file, MaxLineLength)
            .Select(line =>
                (MountEntry.Parse(line.Text), line.IsCut && !line.Text.Contains(" - ", StringComparison.Ordinal))
            );

    /// <summary>Drops the lines that are not mount entries.</summary>
    internal static IEnumerable<MountEntry> Readable(IEnumerable<(MountEntry? Entry, bool IsCut)> lines) =>
        lines.Select(line => line.Entry).OfType<MountEntry>();

    /// <summary>Lists longer than are kept take megabytes while they are read: so one at a time.</summary>
    static readonly Lock Long = new();

    /// <summary>Keeps a bounded part of a list, without <see cref="MountCopies"/>. Ends with
    /// <see cref="MountEntry.More"/> if that is not all.</summary>
    internal static IReadOnlyList<MountEntry> Keep(IEnumerable<(MountEntry? Entry, bool IsCut)> lines)
    {
        try
        {
            var (read, isWhole) = ReadAll(lines);
            var kept = MountCopies.LeaveOut(read);
            return isWhole && kept.Count <= MaxMounts ? kept : [.. kept.Take(MaxMounts), MountEntry.More];
        }
        finally
        {
            if (Long.IsHeldByCurrentThread)
                Long.Exit();
        }
    }

    static (List<MountEntry> Read, bool IsWhole) ReadAll(IEnumerable<(MountEntry? Entry, bool IsCut)> lines)
    {
        var read = new List<MountEntry>();
        var different = new Dictionary<(string, string, string), MountEntry>();
        var chars = 0;
        foreach (var (entry, isCut) in lines)
        {
            if (isCut || read.Count == MaxRead)
                return (read, false);
            if (entry is null)
                continue;
            if (read.Count == MaxMounts)
                Long.Enter();
            var first = CollectionsMarshal.GetValueRefOrAddDefault(
                different,
                (entry.Device, entry.Root, entry.Target),
                out var isKnown
            ) ??= entry;
            if (!isKnown)
                chars += entry.Root.Length + entry.Target.Length;
            if (chars > MaxChars || different.Count > MaxMounts)
                return (read, false);
            read.Add(isKnown ? entry with { Device = first.Device, Root = first.Root, Target = first.Target } : entry);
        }
        return (read, true);
    }
}
