// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Containers;

/// <summary>A mount of a volume of ours.</summary>
/// <param name="Volume">Its name.</param>
/// <param name="Target">A clean absolute path in the container.</param>
/// <param name="GpuMemory">The volume's option; null without one.</param>
/// <param name="Subpath">Empty for the whole directory.</param>
/// <param name="IsReadOnly">By the container's wish (<c>:ro</c>). Engines from 25 on make what is mounted below
/// read-only too: the folder of the ledger.</param>
sealed record QuotaMount(
    string Volume,
    string Target,
    string? GpuMemory = null,
    string Subpath = "",
    bool IsReadOnly = false
)
{
    public const string PreloadName = "ld.so.preload";
    public const string PreloadFile = "/etc/" + PreloadName;

    /// <summary>What the loader of Nix reads in its place (nixpkgs' glibc).</summary>
    public const string NixPreloadName = "ld-nix.so.preload",
        NixPreloadFile = "/etc/" + NixPreloadName,
        NixFolder = "/nix",
        NixStore = NixFolder + "/store";

    /// <summary>See <see cref="Volumes.QuotaVolume.IsDamaged"/>.</summary>
    public bool IsDamaged { get; init; }
    public bool IsPart => Subpath.Length > 0;
    public bool IsPreload => Subpath == PreloadName && Target == PreloadFile;
    public string Shim => Target + "/librunai.so";
}
