// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>What admission knows of a container: the same from a create body as from an inspected container, so that
/// one policy judges both.</summary>
sealed record ContainerSpec
{
    /// <summary>The name that the user gave.</summary>
    public string Image { get; init; } = "";

    /// <summary><c>sha256:…</c>; empty where it is not known.</summary>
    public string ImageId { get; init; } = "";

    /// <summary>The effective quota as written, valid or not: the label (own, or the image's) before the volume's
    /// option; null when none was asked for.</summary>
    public string? Quota { get; init; }

    /// <summary>Whether the caller himself asks for it by a label. Of a container that exists the engine does not say
    /// whose label it is.</summary>
    public bool IsQuotaAsked { get; init; }

    /// <summary>Mounts of our volumes, whole or in part, in the order of the configuration.</summary>
    public IReadOnlyList<QuotaMount> QuotaMounts { get; init; } = [];

    /// <summary>Of these, the targets of those that come from other containers (<c>--volumes-from</c>): the engine does
    /// not say which part of the volume they are.</summary>
    public IReadOnlyList<string> Borrowed { get; init; } = [];

    /// <summary>Under which control group its own is made; empty: the engine's default.</summary>
    public string ControlGroup { get; init; } = "";

    /// <summary>Where anything else is mounted: clean absolute paths.</summary>
    public IReadOnlyList<string> OtherTargets { get; init; } = [];

    /// <summary>Mounts where one of ours was meant.</summary>
    public IReadOnlyList<Mistaken> Mistaken { get; init; } = [];

    /// <summary>The tool whose syntax the advice in a refusal uses.</summary>
    public ClientTool Tool { get; init; }

    /// <summary>Of the call that is judged, see <see cref="EngineRoute.KnowsSubpath"/>; null without one.</summary>
    public bool? KnowsSubpath { get; init; }

    /// <summary>Whether it is asked for as a task of a service, which swarm starts without a call about it.</summary>
    public bool IsOfService { get; init; }

    /// <summary>Under which name the engine has this plugin.</summary>
    public string Plugin { get; init; } = "";

    /// <summary>Of a container that runs, what it is found to have.</summary>
    public Observed Observed { get; init; } = Observed.None;

    /// <summary><c>--read-only</c>: no file can be put into it.</summary>
    public bool ReadOnlyRoot { get; init; }

    /// <summary>The files of LD_PRELOAD in the container's environment.</summary>
    public IReadOnlyList<string> Preloads { get; init; } = [];

    /// <summary>The highest count that a device request has; -1 is all.</summary>
    public long AskedGpus { get; init; }

    /// <summary>More than any host has, and few enough for the engine to count.</summary>
    public const int MaxGpus = 1024;

    /// <summary>Null when the container gets no GPU.</summary>
    public GpuAccess? Gpu { get; init; }

    /// <summary>What takes the ground from under any limit, in the words of docker run: <c>--privileged</c>,
    /// <c>--cap-add SYS_ADMIN</c>.</summary>
    public IReadOnlyList<string> Privileges { get; init; } = [];

    /// <summary>Namespaces of the host that it shares: <c>--pid host</c>.</summary>
    public IReadOnlyList<string> HostNamespaces { get; init; } = [];

    /// <summary>What of the host's file system it mounts.</summary>
    public IReadOnlyList<string> HostPaths { get; init; } = [];

    /// <summary>The private directory; null without one.</summary>
    public QuotaMount? Directory => QuotaMounts.FirstOrDefault(m => !m.IsPart);

    /// <summary>Whether the container's own environment loads the shim.</summary>
    public bool PreloadsByEnvironment => Directory is { } directory && Preloads.Contains(directory.Shim);

    /// <summary>Whether it mounts our ld.so.preload itself.</summary>
    public bool PreloadsByMount => QuotaMounts.Any(m => m.IsPreload);

    /// <summary>Whether <c>/etc/ld.so.preload</c> is to be put into it: wherever that can be, for its own environment
    /// is lost under <c>env -i</c> and <c>sudo</c>.</summary>
    public bool NeedsInjection =>
        Directory is not null && !PreloadsByMount && !ReadOnlyRoot && !OtherTargets.Any(CoversPreload);

    /// <summary>Whether it has no other way to the shim than that file.</summary>
    public bool NeedsPreloadFile => Directory is not null && !PreloadsByMount && !PreloadsByEnvironment;

    /// <summary>Whether a mount there hides a file that loaders read, or lets what is put there land in the
    /// mount.</summary>
    public static bool CoversPreload(string target) =>
        target == QuotaMount.NixPreloadFile || UnixPath.IsWithin(QuotaMount.PreloadFile, target);

    /// <summary>Whether it has to do with quotas or GPUs.</summary>
    public bool IsRelevant => (Quota is not null && IsQuotaAsked) || QuotaMounts.Count > 0 || Gpu is not null;
}
