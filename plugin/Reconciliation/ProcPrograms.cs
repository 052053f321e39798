// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Runtime.InteropServices;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Reconciliation;

/// <summary>By <c>/proc/PID/maps</c> and <c>auxv</c> (proc(5)). The loader maps what it preloads before the C library.
/// So a program that a loader of glibc began, and that has a 64-bit glibc and no shim, was started without it. Static
/// programs, also those that map a C library later, and those of musl cannot load it. Of 32-bit ones nothing is
/// said.</summary>
sealed partial class ProcPrograms(ILogger<ProcPrograms> log) : IPrograms
{
    /// <summary>Of one container, and of threads of one process that may have begun others.</summary>
    internal const int MaxProcesses = 64;
    const int MaxThreads = 64;

    /// <summary>Of one process's maps: some hundred thousand mappings. Of longer ones nothing is said.</summary>
    const int MaxChars = 16 << 20;

    /// <summary>So the container's runtime is called before it becomes the first program.</summary>
    const string Runtime = "runc:[";
    const string Shim = "/librunai.so",
        Deleted = " (deleted)";

    public ProgramsSeen Look(int pid)
    {
        string? unreached = null;
        var isAnyReached = false;
        var waiting = new Queue<int>([pid]);
        var seen = new HashSet<int> { pid };
        while (waiting.TryDequeue(out var one))
        {
            if (LivingThread.FolderOf(one) is { } folder)
            {
                var kind = KindOf(one, folder);
                if (kind == ProgramKind.WithoutShim)
                    return new(ExecutableOf(folder), null);
                if (kind == ProgramKind.Unreached)
                    unreached ??= ExecutableOf(folder);
                else
                    isAnyReached = true;
            }
            foreach (var child in ChildrenOf(one))
                if (seen.Count < MaxProcesses && seen.Add(child))
                    waiting.Enqueue(child);
        }
        return new(null, isAnyReached ? null : unreached);
    }

    ProgramKind KindOf(int pid, string folder)
    {
        try
        {
            using var maps = File.OpenText(folder + "/maps");
            var kind = KindOf(maps, LoaderIn(File.ReadAllBytes(folder + "/auxv")));
            return File.ReadAllText(folder + "/comm").StartsWith(Runtime, StringComparison.Ordinal)
                ? ProgramKind.Unknown
                : kind;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (LivingThread.FolderOf(pid) is not null)
                LogProgramUnknown(log, pid, e.Message);
            return ProgramKind.Unknown;
        }
    }

    /// <param name="auxv">Pairs of a type and a value, 8 bytes each, as the kernel gives them to a 64-bit
    /// program.</param>
    /// <returns>Where the program's loader is: what the kernel loaded beside the program, or the program itself. 0
    /// where that is not known.</returns>
    internal static Loader LoaderIn(ReadOnlySpan<byte> auxv)
    {
        const ulong Base = 7,
            Entry = 9;
        var loader = 0UL;
        var entry = 0UL;
        var words = MemoryMarshal.Cast<byte, ulong>(auxv);
        for (var at = 0; at + 1 < words.Length; at += 2)
        {
            if (words[at] == Base)
                loader = words[at + 1];
            if (words[at] == Entry)
                entry = words[at + 1];
        }
        return loader != 0 ? new(loader, IsProgram: false) : new(entry, IsProgram: true);
    }

    /// <param name="Address">In the memory of the program.</param>
    /// <param name="IsProgram">A static program, or a loader that was called with a program's name.</param>
    internal readonly record struct Loader(ulong Address, bool IsProgram);

    /// <param name="maps">Lines as <c>7f0c5d228000-7f0c5d24e000 r-xp 00000000 00:3b 1048
    /// /usr/lib/x86_64-linux-gnu/libc.so.6</c>.</param>
    /// <param name="loader">What began the program.</param>
    internal static ProgramKind KindOf(TextReader maps, Loader loader)
    {
        var hasLibc = false;
        var hasLoader = false;
        var isUnreached = false;
        for (var left = MaxChars; maps.ReadLine() is { } line; )
        {
            if ((left -= line.Length) < 0)
                return ProgramKind.Unknown;
            if (line.IndexOf('/', StringComparison.Ordinal) is not (> 0 and var at))
                continue;
            var path = line.AsSpan(at);
            if (path.EndsWith(Deleted, StringComparison.Ordinal))
                path = path[..^Deleted.Length];
            if (path.EndsWith(Shim, StringComparison.Ordinal))
                return ProgramKind.WithShim;
            var name = path[(path.LastIndexOf('/') + 1)..];
            if (IsAt(line, loader.Address))
            {
                hasLoader = loader.IsProgram
                    ? IsGlibcLoader(name)
                    : !name.StartsWith("ld-musl", StringComparison.Ordinal);
                isUnreached = !hasLoader;
            }
            hasLibc |= IsExecutable64(line) && IsGlibc(name);
        }
        return hasLibc && hasLoader ? ProgramKind.WithoutShim
            : isUnreached ? ProgramKind.Unreached
            : ProgramKind.Unknown;
    }

    /// <summary>Data can be a C library too.</summary>
    static bool IsExecutable64(string line) =>
        line.IndexOf('-', StringComparison.Ordinal) > 8 && line.Split(' ', 3) is [_, [_, _, 'x', ..], _];

    static bool IsAt(string line, ulong address)
    {
        var dash = line.IndexOf('-', StringComparison.Ordinal);
        var blank = line.IndexOf(' ', StringComparison.Ordinal);
        return dash > 0
            && dash < blank
            && Hex(line.AsSpan(0, dash)) <= address
            && address < Hex(line.AsSpan((dash + 1)..blank));
    }

    static ulong Hex(ReadOnlySpan<char> digits) =>
        ulong.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value) ? value : 0;

    /// <summary>Called with a program's name it is the program. Up to 2.33 the file has the version in its
    /// name.</summary>
    static bool IsGlibcLoader(ReadOnlySpan<char> name) =>
        name.StartsWith("ld-linux-", StringComparison.Ordinal)
        || name.StartsWith("ld-2.", StringComparison.Ordinal)
        || name is "ld.so"
        || name.StartsWith("ld.so.", StringComparison.Ordinal);

    /// <summary>Up to 2.33 the file has the version in its name, and <c>libc.so.6</c> is a link to it.</summary>
    static bool IsGlibc(ReadOnlySpan<char> name) =>
        name is "libc.so.6" or "libc.so.6.1"
        || (name.StartsWith("libc-2.", StringComparison.Ordinal) && name.EndsWith(".so", StringComparison.Ordinal));

    static string ExecutableOf(string folder) => new FileInfo(folder + "/exe").LinkTarget ?? "a program";

    /// <summary>Empty where the kernel was built without that list.</summary>
    static List<int> ChildrenOf(int pid)
    {
        var found = new List<int>();
        try
        {
            foreach (var thread in Directory.EnumerateDirectories(PathOf(pid, "task")).Take(MaxThreads))
            foreach (
                var child in File.ReadAllText(Path.Combine(thread, "children"))
                    .Split(' ', StringSplitOptions.RemoveEmptyEntries)
            )
                if (int.TryParse(child, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                    found.Add(number);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { }
        return found;
    }

    static string PathOf(int pid, string file) => string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/{file}");

    [LoggerMessage(517, LogLevel.Debug, "whether process {Pid} runs without the shim is unknown: {Problem}")]
    static partial void LogProgramUnknown(ILogger logger, int pid, string problem);
}
