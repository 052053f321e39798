// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Engine;

/// <summary>What <c>GET /containers/{id}/json</c> answers: the merged truth of image and create body (Docker Engine API
/// 1.41 and later). Only what the plugin reads.</summary>
/// <remarks>Generated readers assign null to each <c>init</c> property whose key is absent, also where it has an
/// initializer. So do these records' properties take a null for their default.</remarks>
sealed record ContainerInspect
{
    /// <summary>All 64 digits, whatever name or part of an ID was asked for.</summary>
    public string Id
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>With the leading slash that the engine writes.</summary>
    public string Name
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>The image's ID (<c>sha256:…</c>); the name the user gave is
    /// <see cref="ContainerConfig.Image"/>.</summary>
    public string Image
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>RFC 3339 with nanoseconds, by the host's clock.</summary>
    public string Created
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>What keeps the root file system: <c>overlay2</c>…</summary>
    public string Driver
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>Which of an image's platforms it is; API 1.48 and later, where images are kept by containerd.</summary>
    public ManifestDescriptor? ImageManifestDescriptor { get; init; }

    /// <summary>How often its restart policy has started it since the last call that did.</summary>
    public int RestartCount { get; init; }

    /// <summary>At the time of the answer.</summary>
    public ContainerState State
    {
        get;
        init => field = value ?? new();
    } = new();

    /// <summary>Includes the image's labels and environment. Has only those that the plugin reads.</summary>
    public ContainerConfig Config
    {
        get;
        init => field = value ?? new();
    } = new();

    /// <summary>From <see cref="IEngineClient.InspectContainerAsync"/>, a namespace that is another container's has
    /// that container's mode.</summary>
    public HostConfig HostConfig
    {
        get;
        init => field = value ?? new();
    } = new();

    /// <summary>Volumes and binds in every spelling, the image's volumes included.</summary>
    public IReadOnlyList<MountPoint> Mounts
    {
        get;
        init => field = value ?? [];
    } = [];

    /// <summary>The containers whose namespaces it shares, as <see cref="HostConfig.NamesOfJoined"/> has them before
    /// the client resolves those; null where it did not.</summary>
    [JsonIgnore]
    public IReadOnlyList<string>? Joined { get; init; }

    /// <summary>See <see cref="Joined"/>; where that was not learnt, as the engine has them now.</summary>
    public IReadOnlyList<string> NamesOfJoined() => Joined ?? HostConfig.NamesOfJoined();
}

/// <summary>Names one manifest.</summary>
sealed record ManifestDescriptor([property: JsonPropertyName("digest")] string? Digest);
