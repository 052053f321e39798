using System.Globalization;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>What the programs of a container have loaded, by the kernel's word.</summary>
public interface IPrograms
{
    /// <summary>Looks at a container's first process and at those that it began.</summary>
    /// <returns>The file of one that runs without the shim although its loader loads what <c>/etc/ld.so.preload</c> names; null for none.</returns>
    string? FindWithoutShim(int pid);
}

/// <summary>By <c>/proc/PID/maps</c> (proc_pid_maps(5)). The loader maps what it preloads before the C library. So who has a 64-bit glibc and no shim was started without it. Static programs, those of
/// musl, and 32-bit ones, which cannot load it, are passed over.</summary>
public sealed class ProcPrograms : IPrograms
{
    /// <summary>Of one container, and of threads of one process that may have begun others.</summary>
    internal const int MaxProcesses = 64;
    const int MaxThreads = 64;
    /// <summary>Of one process's maps: some hundred thousand mappings. Of more nobody says anything.</summary>
    const int MaxChars = 16 << 20;
    /// <summary>So the container's runtime is called before it becomes the first program.</summary>
    const string Runtime = "runc:[";
    const string Shim = "/librunai.so", Deleted = " (deleted)";

    public string? FindWithoutShim(int pid)
    {
        var (waiting, seen) = (new Queue<int>([pid]), new HashSet<int> { pid });
        while (waiting.TryDequeue(out var one))
        {
            try
            {
                if (IsWithoutShim(one)) return ExecutableOf(one);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException) { } // it has ended
            foreach (var child in ChildrenOf(one))
                if (seen.Count < MaxProcesses && seen.Add(child)) waiting.Enqueue(child);
        }
        return null;
    }

    static bool IsWithoutShim(int pid)
    {
        using var maps = File.OpenText(PathOf(pid, "maps"));
        return IsWithoutShim(maps) && !File.ReadAllText(PathOf(pid, "comm")).StartsWith(Runtime, StringComparison.Ordinal);
    }

    /// <param name="maps">Lines as <c>7f0c5d228000-7f0c5d24e000 r--p 00000000 00:3b 1048 /usr/lib/x86_64-linux-gnu/libc.so.6</c>.</param>
    internal static bool IsWithoutShim(TextReader maps)
    {
        var hasLibc = false;
        for (var left = MaxChars; maps.ReadLine() is { } line;)
        {
            if ((left -= line.Length) < 0) return false;
            if (line.IndexOf('/', StringComparison.Ordinal) is not (> 0 and var at)) continue;
            var path = line.AsSpan(at);
            if (path.EndsWith(Deleted, StringComparison.Ordinal)) path = path[..^Deleted.Length];
            if (path.EndsWith(Shim, StringComparison.Ordinal)) return false;
            hasLibc |= line.IndexOf('-', StringComparison.Ordinal) > 8 && IsGlibc(path[(path.LastIndexOf('/') + 1)..]);
        }
        return hasLibc;
    }

    /// <summary>Up to 2.33 the file has the version in its name, and <c>libc.so.6</c> is a link to it.</summary>
    static bool IsGlibc(ReadOnlySpan<char> name) =>
        name is "libc.so.6" or "libc.so.6.1" || (name.StartsWith("libc-2.", StringComparison.Ordinal) && name.EndsWith(".so", StringComparison.Ordinal));

    static string ExecutableOf(int pid) => File.ResolveLinkTarget(PathOf(pid, "exe"), returnFinalTarget: false)?.FullName ?? "a program";

    /// <summary>Empty where the kernel was built without that list.</summary>
    static List<int> ChildrenOf(int pid)
    {
        var found = new List<int>();
        try
        {
            foreach (var thread in Directory.EnumerateDirectories(PathOf(pid, "task")).Take(MaxThreads))
                foreach (var child in File.ReadAllText(Path.Combine(thread, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries))
                    if (int.TryParse(child, NumberStyles.None, CultureInfo.InvariantCulture, out var number)) found.Add(number);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { }
        return found;
    }

    static string PathOf(int pid, string file) => string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/{file}");
}
