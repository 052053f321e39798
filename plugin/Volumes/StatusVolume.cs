// SPDX-License-Identifier: Apache-2.0
using System.Text;

namespace Runai.GpuMemory.Volumes;

/// <summary>The volumes that are read and nothing else: <c>docker volume inspect runai-status</c>, and
/// <c>runai-status.NAME</c> with the containers of one TLS user. They are in no list, and no caller makes, mounts or
/// removes them.</summary>
static class StatusVolume
{
    /// <summary>The volume with all containers.</summary>
    public const string Name = VolumeCatalog.Everyone + "-status";
    const string OfUser = Name + ".",
        Hex = "x-";

    /// <summary>Of a user's name that stands in a volume's as it is.</summary>
    const int MaxName = 128;

    /// <summary>Whether the name is that of a status volume, of all or of a user.</summary>
    public static bool IsReserved(string volume) =>
        volume == Name || volume.StartsWith(OfUser, StringComparison.Ordinal);

    /// <summary>What stands behind the dot; null for the volume of all.</summary>
    public static string? UserIn(string volume) => volume == Name ? null : volume[OfUser.Length..];

    /// <summary>A user's volume.</summary>
    public static string Of(string user) => OfUser + Spell(user);

    /// <summary>A user's name as it stands in a volume's: itself where an API call can spell it, else <c>x-</c> and the
    /// hexadecimal digits of its UTF-8. So that no two users share one, a name that begins with <c>x-</c> is written in
    /// digits too.</summary>
    public static string Spell(string user) =>
        user.Length is > 0 and <= MaxName
        && user.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or '-')
        && !user.StartsWith(Hex, StringComparison.Ordinal)
            ? user
            : Hex + Convert.ToHexStringLower(Encoding.UTF8.GetBytes(user));

    /// <summary>What whoever makes, mounts or removes one reads.</summary>
    public static string Refusal(string volume) =>
        $"{Common.Quoted.Text(volume, MaxName)} is read, not made, mounted or removed: docker volume inspect "
        + Common.Quoted.Text(volume, MaxName);
}
