// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.Volumes;

/// <summary>Where <c>/proc</c> says what a process is. Of one whose first thread has ended while others run
/// (<c>pthread_exit</c> in <c>main</c>) its own folder shows neither mounts nor maps, and no control group of version
/// 1; those of its other threads do.</summary>
static class LivingThread
{
    /// <summary>Of one process. Those that ended are not listed, except for the first.</summary>
    const int MaxThreads = 64;

    /// <summary>How often they are listed again where each of them ended meanwhile.</summary>
    const int Attempts = 3;

    // Of the fields of proc_pid_stat(5), behind the name: the state, and the number of threads.
    const int State = 0,
        Threads = 17;

    /// <summary>Finds the folder that shows what the process has.</summary>
    /// <returns><c>/proc/PID</c>, or <c>/proc/PID/task/TID</c>; null where the process has ended.</returns>
    public static string? FolderOf(int pid)
    {
        if (pid <= 0)
            return null;
        var own = string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}");
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            if (StatOf(own) is not { } stat)
                return null;
            if (!HasEnded(stat))
                return own;
            if (
                int.TryParse(
                    stat.ElementAtOrDefault(Threads),
                    NumberStyles.None,
                    CultureInfo.InvariantCulture,
                    out var threads
                )
                && threads <= 1
            )
                return null;
            if (OthersOf(own).FirstOrDefault(thread => StatOf(thread) is { } one && !HasEnded(one)) is { } living)
                return living;
        }
        return own;
    }

    static bool HasEnded(string[] stat) => stat.ElementAtOrDefault(State) is "Z" or "X";

    /// <returns>Null where there is no such process or thread; empty where the kernel does not show it.</returns>
    static string[]? StatOf(string folder)
    {
        try
        {
            var text = File.ReadAllText(folder + "/stat");
            return text[(text.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        }
        catch (UnauthorizedAccessException)
        {
            return [];
        }
        catch (IOException)
        {
            return Directory.Exists(folder) ? [] : null;
        }
    }

    static string[] OthersOf(string folder)
    {
        try
        {
            return [.. Directory.EnumerateDirectories(folder + "/task").Take(MaxThreads)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
