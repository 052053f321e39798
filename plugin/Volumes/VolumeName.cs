// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Volumes;

/// <summary>The engine's rule for the names of its own local volumes, in its words. A name that breaks it cannot be
/// used everywhere: <c>-v c:/runai</c> is a path to clients, and no call reaches a volume <c>../x</c>, since servers
/// clean the paths of calls.</summary>
static class VolumeName
{
    /// <summary>A file is named after it.</summary>
    public const int MaxLength = 255;
    const string Allowed = "[a-zA-Z0-9][a-zA-Z0-9_.-]";

    /// <summary>Null for a name that the engine would give a local volume; else why not.</summary>
    public static string? FindProblem(string name) =>
        name.Length switch
        {
            0 => "a volume needs a name",
            1 => "volume name is too short, names should be at least two alphanumeric characters",
            _ when char.IsAsciiLetterOrDigit(name[0]) && name.All(IsAllowed) => null,
            _ => $"\"{Quoted.Text(name).Trim('"')}\" includes invalid characters for a local volume name, only "
                + $"\"{Allowed}\" are allowed",
        };

    static bool IsAllowed(char c) => char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or '-';

    /// <summary>Whether a call of the API can name the volume, e.g. to remove it.</summary>
    public static bool IsReachable(string name) => name.Split('/').All(part => part is not ("" or "." or ".."));
}
