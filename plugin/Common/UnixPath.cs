// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Common;

/// <summary>Paths, absolute and in the engine's reading.</summary>
static class UnixPath
{
    /// <summary>As Go's path.Clean of an absolute path: no empty, <c>.</c> or <c>..</c> elements, no slash at the
    /// end.</summary>
    public static string Clean(string path)
    {
        var kept = new List<string>();
        foreach (var element in path.Split('/'))
        {
            if (element == ".." && kept.Count > 0)
                kept.RemoveAt(kept.Count - 1);
            else if (element is not ("" or "." or ".."))
                kept.Add(element);
        }
        return "/" + string.Join('/', kept);
    }

    /// <summary>Whether <paramref name="path"/> is <paramref name="directory"/> or below it; both clean.</summary>
    public static bool IsWithin(string path, string directory) =>
        directory == "/"
        || path == directory
        || (path.StartsWith(directory, StringComparison.Ordinal) && path[directory.Length] == '/');
}
