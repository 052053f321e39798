// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>A path of the host in <c>allowBindMounts</c>, in which <c>*</c> stands for one name. It allows just what it
/// names and nothing below: who may write there, a container that mounts it included, could make a link to anywhere,
/// and the engine follows links.</summary>
static class BindPattern
{
    const string AnyName = "*";

    /// <summary>Behind <c>..</c> it is unknown where a path leads that has a link in it, or where one that swarm has
    /// yet to fill in. A folder called <c>*</c> is not what a pattern means by it, and the engine would make
    /// it.</summary>
    public static bool Matches(string pattern, string hostPath)
    {
        var names = Names(hostPath);
        var wanted = Names(pattern);
        return LocalVolume.IsPath(hostPath)
            && names.Length == wanted.Length
            && !names.Contains("..")
            && !names.Contains(AnyName)
            && !hostPath.Contains(LocalVolume.Template, StringComparison.Ordinal)
            && Fits(names, wanted);
    }

    /// <summary>Whether who may write to what <paramref name="outer"/> names could change what <paramref name="inner"/>
    /// names.</summary>
    public static bool IsAbove(string outer, string inner)
    {
        var above = Names(outer);
        var below = Names(inner);
        return above.Length < below.Length && Fits(below[..above.Length], above);
    }

    /// <summary>The path above <paramref name="hostPath"/> that the pattern allows; null where it allows
    /// none.</summary>
    public static string? FolderAbove(string pattern, string hostPath)
    {
        var names = Names(hostPath);
        var wanted = Names(pattern);
        var folder =
            names.Length > wanted.Length && !names.Contains("..")
                ? "/" + string.Join('/', names[..wanted.Length])
                : null;
        return folder is not null && Matches(pattern, folder) ? folder : null;
    }

    static bool Fits(string[] names, string[] pattern)
    {
        for (var i = 0; i < names.Length; i++)
            if (pattern[i] != AnyName && names[i] != AnyName && names[i] != pattern[i])
                return false;
        return true;
    }

    static string[] Names(string path) => [.. path.Split('/').Where(name => name is not ("" or "."))];
}
