// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Protocol;

/// <summary>The volume protocol. Every answer is status 200; a failure is its <c>Err</c>.</summary>
static class VolumeEndpoints
{
    static readonly Dictionary<string, string> NoOptions = [];

    /// <summary>Maps every call of the protocol to the <see cref="IVolumeDriver"/>.</summary>
    public static IEndpointRouteBuilder MapVolumeDriver(this IEndpointRouteBuilder app)
    {
        var driver = app.ServiceProvider.GetRequiredService<IVolumeDriver>();
        app.MapCall("/VolumeDriver.Capabilities", _ => new VolumeAnswer { Capabilities = new("local") });
        app.MapCall("/VolumeDriver.List", _ => new VolumeAnswer { Volumes = driver.DescribeAll() });
        app.MapNamedCall(
            "/VolumeDriver.Create",
            (name, request) => new(driver.Create(name, request.Options ?? NoOptions) ?? "")
        );
        app.MapNamedCall("/VolumeDriver.Remove", (name, _) => new(driver.Remove(name) ?? ""));
        app.MapPluginCall(
            "/VolumeDriver.Get",
            VolumeJson.Default.VolumeRequest,
            VolumeJson.Default.VolumeAnswer,
            async (request, cancel) =>
                request.Name is not { Length: > 0 } name ? NoName("/VolumeDriver.Get")
                : await driver.DescribeAsync(name, cancel) is { } volume ? new() { Volume = volume }
                : NoSuchVolume(name),
            (problem, _) => Failure(problem)
        );
        app.MapNamedCall(
            "/VolumeDriver.Path",
            (name, _) => driver.FindPath(name) is { } path ? Answer(path) : NoSuchVolume(name)
        );
        app.MapActivation(
            "/VolumeDriver.Mount",
            async (name, id, cancel) => Answer(await driver.MountAsync(name, id, cancel))
        );
        app.MapActivation(
            "/VolumeDriver.Unmount",
            async (name, id, cancel) => new(await driver.UnmountAsync(name, id, cancel) ?? "")
        );
        return app;
    }

    static VolumeAnswer Answer(MountResult result) =>
        result.Error is { } error ? Failure(error) : new() { Mountpoint = result.Mountpoint };

    static VolumeAnswer NoName(string path) => Failure($"{path}: the engine named no volume");

    static VolumeAnswer NoSuchVolume(string name) => new($"there is no volume {Quoted.Text(name)}");

    static void MapCall(this IEndpointRouteBuilder app, string path, Func<VolumeRequest, VolumeAnswer> answer) =>
        app.MapPluginCall(
            path,
            VolumeJson.Default.VolumeRequest,
            VolumeJson.Default.VolumeAnswer,
            (request, _) => new(answer(request)),
            (problem, _) => Failure(problem)
        );

    static void MapNamedCall(
        this IEndpointRouteBuilder app,
        string path,
        Func<string, VolumeRequest, VolumeAnswer> answer
    ) => app.MapCall(path, request => request.Name is { Length: > 0 } name ? answer(name, request) : NoName(path));

    static void MapActivation(
        this IEndpointRouteBuilder app,
        string path,
        Func<string, string, CancellationToken, Task<VolumeAnswer>> answer
    ) =>
        app.MapPluginCall(
            path,
            VolumeJson.Default.VolumeRequest,
            VolumeJson.Default.VolumeAnswer,
            async (request, cancel) =>
                request is { Name: { Length: > 0 } name, Id: { Length: > 0 } id }
                    ? await answer(name, id, cancel)
                    : Failure($"{path}: the engine named no volume or no ID"),
            (problem, _) => Failure(problem)
        );

    static VolumeAnswer Failure(string message) => new(message);
}
