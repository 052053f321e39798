// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>What <c>GET /images/{name}/json</c> says of the configuration that an image adds.</summary>
sealed record ImageInspect
{
    /// <summary><c>sha256:</c> and 64 digits.</summary>
    public string Id
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>Null if the image has none.</summary>
    public ContainerConfig? Config { get; init; }
}
