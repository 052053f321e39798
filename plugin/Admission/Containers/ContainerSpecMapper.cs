// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Quotas;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>Makes <see cref="ContainerSpec"/>s, from what a client asks for and from what the engine will
/// run.</summary>
sealed class ContainerSpecMapper(IVolumeCatalog volumes, IDeviceNodes nodes)
{
    /// <summary>Describes the container that a create body asks for, as far as the arguments show it. Makes no call to
    /// the engine.</summary>
    /// <param name="body">What the client asks for.</param>
    /// <param name="image">What the image adds, when it is at hand.</param>
    /// <param name="volumesFrom">The containers that <c>--volumes-from</c> names, as far as they are known.</param>
    /// <param name="defaultRuntime">The engine's; empty when not known.</param>
    /// <param name="elsewhere">Names of ours that the engine has for another driver, with that one; empty: it is not
    /// there.</param>
    public ContainerSpec FromCreateBody(
        CreateBody body,
        ImageInspect? image,
        IEnumerable<ContainerInspect> volumesFrom,
        string defaultRuntime,
        IReadOnlyDictionary<string, string>? elsewhere = null
    )
    {
        var host = body.HostConfig ?? new();
        var mounts = new ConfiguredMounts(volumes, elsewhere);
        mounts.AddConfigured(host);
        foreach (var other in volumesFrom)
        foreach (var mount in other.Mounts)
            mounts.AddResolved(mount, other.HostConfig);
        mounts.AddOthers(body.Volumes?.Keys);
        var env = Environment(image?.Config?.Env, body.Env);
        var tool = Advice.ToolOf(body.Labels, body.IsOfService);
        return Make(
            body.Image ?? "",
            image?.Id,
            host,
            mounts,
            env,
            tool,
            body.Labels?.GetValueOrDefault(GpuMemoryQuota.Name)
                ?? image?.Config?.Labels?.GetValueOrDefault(GpuMemoryQuota.Name),
            defaultRuntime
        ) with
        {
            IsOfService = body.IsOfService,
            IsQuotaAsked = body.Labels?.GetValueOrDefault(GpuMemoryQuota.Name) is not null,
        };
    }

    /// <summary>The merged truth: image, volumes and spellings resolved by the engine.</summary>
    public ContainerSpec FromInspect(ContainerInspect container, string defaultRuntime)
    {
        var mounts = new ConfiguredMounts(volumes);
        foreach (var mount in container.Mounts)
            mounts.AddResolved(mount, container.HostConfig);
        // what is resolved leaves out --tmpfs and the options of inline volumes
        mounts.AddConfigured(container.HostConfig);
        // On hosts with cgroup v1 the engine writes "host" there for everybody who did not say.
        var host = container.HostConfig with
        {
            CgroupnsMode = null,
        };
        return Make(
            container.Config.Image,
            container.Image,
            host,
            mounts,
            Environment(null, container.Config.Env),
            Advice.ToolOf(container.Config.Labels),
            container.Config.Labels?.GetValueOrDefault(GpuMemoryQuota.Name),
            defaultRuntime
        );
    }

    /// <summary>The label's, else that of a volume.</summary>
    static string? QuotaOf(string? label, ConfiguredMounts mounts)
    {
        if (label is not (null or "" or GpuMemoryQuota.Off))
            return label;
        return mounts.Ours.FirstOrDefault(m => m is { IsPart: false, GpuMemory: not null })?.GpuMemory;
    }

    static IReadOnlyList<string> BorrowedOf(HostConfig host, ConfiguredMounts mounts)
    {
        if (host.VolumesFrom is not { Count: > 0 })
            return [];
        return [.. mounts.Ours.Select(m => m.Target).Except(ConfiguredMounts.OwnTargets(host))];
    }

    ContainerSpec Make(
        string image,
        string? imageId,
        HostConfig host,
        ConfiguredMounts mounts,
        Dictionary<string, string> env,
        ClientTool tool,
        string? label,
        string defaultRuntime
    ) =>
        new()
        {
            Image = image,
            ImageId = imageId ?? "",
            Quota = QuotaOf(label, mounts),
            QuotaMounts = mounts.Ours,
            Mistaken = mounts.Mistaken,
            Tool = tool,
            Plugin = volumes.DriverName,
            Borrowed = BorrowedOf(host, mounts),
            ControlGroup = host.CgroupParent ?? "",
            OtherTargets = mounts.OtherTargets,
            ReadOnlyRoot = host.ReadonlyRootfs,
            Privileges =
            [
                .. HostAccess.Privileges(host),
                .. from device in host.Devices ?? []
                where device?.PathOnHost is { Length: > 0 } path && !nodes.IsHarmless(path)
                select $"--device {Quoted.Text(device.PathOnHost)}",
            ],
            HostNamespaces = HostAccess.Namespaces(host),
            HostPaths = mounts.HostPaths,
            Preloads =
                env.GetValueOrDefault("LD_PRELOAD")?.Split([':', ' '], StringSplitOptions.RemoveEmptyEntries) ?? [],
            AskedGpus = host.DeviceRequests?.Max(request => request?.Count) ?? 0,
            Gpu = new GpuAccessFinder(nodes).Find(
                host,
                env,
                mounts,
                string.IsNullOrEmpty(host.Runtime) ? defaultRuntime : host.Runtime
            ),
        };

    /// <summary>The body's after the image's: the later value of a name counts. A bare name leaves out what the image
    /// has of it, and no other line.</summary>
    static Dictionary<string, string> Environment(IReadOnlyList<string>? image, IReadOnlyList<string>? own)
    {
        var env = new Dictionary<string, string>(StringComparer.Ordinal);
        Add(image);
        foreach (var line in own ?? [])
            if (!line.Contains('='))
                env.Remove(line);
        Add(own);
        return env;

        void Add(IReadOnlyList<string>? lines)
        {
            foreach (var line in lines ?? [])
                if (line.IndexOf('=', StringComparison.Ordinal) is > 0 and var equals)
                    env[line[..equals]] = line[(equals + 1)..];
        }
    }
}
