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
    /// <summary>The file's name, in the volume and in <c>/etc</c>.</summary>
    public const string PreloadName = "ld.so.preload";

    /// <summary>The file that glibc's loader reads before it starts a program.</summary>
    public const string PreloadFile = "/etc/" + PreloadName;

    /// <summary>What the loader of Nix reads in its place (nixpkgs' glibc).</summary>
    public const string NixPreloadName = "ld-nix.so.preload",
        NixPreloadFile = "/etc/" + NixPreloadName,
        NixFolder = "/nix",
        NixStore = NixFolder + "/store";

    /// <summary>See <see cref="Volumes.QuotaVolume.IsDamaged"/>.</summary>
    public bool IsDamaged { get; init; }

    /// <summary>Whether it mounts one file or folder of the volume (<c>volume-subpath</c>).</summary>
    public bool IsPart => Subpath.Length > 0;

    /// <summary>Whether it mounts <c>ld.so.preload</c> where glibc reads it, the only part that may be
    /// mounted.</summary>
    public bool IsPreload => Subpath == PreloadName && Target == PreloadFile;

    /// <summary>The shim's path in the container, as <c>ld.so.preload</c> and <c>LD_PRELOAD</c> name it.</summary>
    public string Shim => Target + "/librunai.so";
}
