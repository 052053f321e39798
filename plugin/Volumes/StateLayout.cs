// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Volumes;

/// <summary>Where things are below the propagated mount, and the names that other people's names become
/// there.</summary>
sealed class StateLayout(PluginSettings settings)
{
    /// <summary>Names in a private directory, which containers see below <c>/runai</c>.</summary>
    public const string ShimName = "librunai.so",
        QuietName = "quiet",
        PreloadName = "ld.so.preload",
        QuotaName = "quota",
        UsageName = "usage";

    /// <summary>All of it: the propagated mount.</summary>
    public string State { get; } = settings.State;

    /// <summary>One file a volume that was made by <c>docker volume create</c>.</summary>
    public string Volumes { get; } = Path.Combine(settings.State, "volumes");

    /// <summary>One file a private directory: who has it.</summary>
    public string References { get; } = Path.Combine(settings.State, "refs");

    /// <summary>The private directories themselves, as files on disk.</summary>
    public string Directories { get; } = Path.Combine(settings.State, "state");

    /// <summary>The same, read-only and with their ledgers: what the engine binds into containers.</summary>
    public string Mounts { get; } = Path.Combine(settings.State, "mounts");

    /// <summary>One folder a version of the shim, with its quiet libraries.</summary>
    public string Shims { get; } = Path.Combine(settings.State, "lib");

    /// <summary>The shim's file in the plugin's own image.</summary>
    public string Shim { get; } = settings.Shim;

    /// <summary>The empty libraries that come with the shim, by the loader's <c>$PLATFORM</c>; need not
    /// exist.</summary>
    public string Quiet { get; } = Path.Combine(Path.GetDirectoryName(settings.Shim)!, QuietName);

    /// <summary>The private mount where directories are made read-only before they are handed out.</summary>
    public string Stage { get; } = settings.Stage;

    /// <summary>Makes the folders, where they are missing.</summary>
    public void Prepare()
    {
        foreach (var folder in (string[])[Volumes, References, Directories, Mounts, Shims])
            MakeDirectory(folder, FileModes.OwnerDirectory);
    }

    /// <summary>The JSON file that says who has the directory.</summary>
    public string Reference(string dirId) => Path.Combine(References, dirId + ".json");

    /// <summary>The directory on disk, which the plugin can write.</summary>
    public string Directory(string dirId) => Path.Combine(Directories, dirId);

    /// <summary>The path that the engine binds into a container.</summary>
    public string Mount(string dirId) => Path.Combine(Mounts, dirId);

    /// <summary>The path of a directory while it is being made.</summary>
    public string Staged(string dirId) => Path.Combine(Stage, dirId);

    /// <summary>The JSON file of a volume, a <see cref="StoredVolume"/>.</summary>
    public string Volume(string name) => Path.Combine(Volumes, FileName(name) + ".json");

    /// <summary>The directory of a mount ID. Docker's IDs (64 hex digits) stay themselves; null for one that is too
    /// long for a file name.</summary>
    public static string? DirId(string mountId)
    {
        if (mountId.Length == 0)
            return null;
        if (mountId.Length == 64 && mountId.All(char.IsAsciiHexDigitLower))
            return mountId;
        var hex = "x" + Convert.ToHexStringLower(Encoding.UTF8.GetBytes(mountId));
        return hex.Length <= 200 ? hex : null;
    }

    /// <summary>The mount ID of a directory: the way back.</summary>
    public static string MountId(string dirId) =>
        dirId.StartsWith('x') && dirId.Length % 2 == 1 && dirId.Skip(1).All(char.IsAsciiHexDigitLower)
            ? Encoding.UTF8.GetString(Convert.FromHexString(dirId.AsSpan(1)))
            : dirId;

    /// <summary>Any text as a file name: what is not a letter, a digit, <c>_</c>, <c>-</c> or an inner dot becomes
    /// <c>%</c> and two hex digits. Never the same for two texts.</summary>
    public static string FileName(string name)
    {
        var safe = new StringBuilder(name.Length);
        foreach (var one in Encoding.UTF8.GetBytes(name))
        {
            if (
                char.IsAsciiLetterOrDigit((char)one)
                || one is (byte)'_' or (byte)'-'
                || (one == '.' && safe.Length > 0)
            )
                safe.Append((char)one);
            else
                safe.Append('%').Append(Convert.ToHexString([one]));
        }
        return safe.ToString();
    }

    /// <summary>The text that became this file name; null where none did.</summary>
    public static string? NameOf(string fileName)
    {
        var bytes = new List<byte>(fileName.Length);
        for (var i = 0; i < fileName.Length; i++)
        {
            if (
                fileName[i] == '%'
                && i + 2 < fileName.Length
                && byte.TryParse(
                    fileName.AsSpan(i + 1, 2),
                    NumberStyles.AllowHexSpecifier,
                    CultureInfo.InvariantCulture,
                    out var one
                )
            )
            {
                bytes.Add(one);
                i += 2;
            }
            else
                bytes.Add((byte)fileName[i]);
        }
        var name = Encoding.UTF8.GetString([.. bytes]);
        return FileName(name) == fileName ? name : null;
    }

    /// <summary>Makes the folders above too. Sets the mode of a folder that is there already, whatever the
    /// umask.</summary>
    public static void MakeDirectory(string path, UnixFileMode mode)
    {
        System.IO.Directory.CreateDirectory(path, mode);
        File.SetUnixFileMode(path, mode);
    }
}
