// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>Every way in which a configuration gives a container a GPU. In doubt it does: what is asked for a quota too
/// much can be told, what slips through cannot.</summary>
sealed class GpuAccessFinder(IDeviceNodes nodes)
{
    const string VisibleDevices = "NVIDIA_VISIBLE_DEVICES";

    /// <summary>Begins annotations that name CDI devices.</summary>
    public const string CdiAnnotation = "cdi.k8s.io/";

    /// <summary>Runtimes that do not read these variables. Any other name may stand for NVIDIA's; runsc reads them
    /// where it is set up with <c>nvproxy-docker</c>.</summary>
    static readonly HashSet<string> PlainRuntimes =
    [
        "",
        "runc",
        "crun",
        "io.containerd.runc.v1",
        "io.containerd.runc.v2",
        "io.containerd.runtime.v1.linux",
        "youki",
    ];

    readonly List<GpuAccess> _found = [];

    /// <summary>Whether one of them goes past NVIDIA's toolkit, or is CDI's.</summary>
    bool _isDevice;

    /// <summary>Finds how a container gets a GPU; null if it gets none. With several ways, it is not known which GPUs.
    /// One call for each instance.</summary>
    /// <param name="host">The host's part of the configuration.</param>
    /// <param name="env">Image and body merged.</param>
    /// <param name="mounts">What is mounted.</param>
    /// <param name="runtime">The runtime it runs with; the engine's default where none is named.</param>
    public GpuAccess? Find(
        HostConfig host,
        IReadOnlyDictionary<string, string> env,
        ConfiguredMounts mounts,
        string runtime
    )
    {
        FindRequests(host);
        FindDevices(host);
        var isNvidia = !PlainRuntimes.Contains(runtime);
        if (isNvidia && host.DeviceRequests?.Any(SetsVisibleDevices) != true)
            FindVisibleDevices(env);
        // With --gpus the toolkit comes in under any runtime, and reads what of the configuration goes before the
        // request.
        if (isNvidia || host.DeviceRequests?.Any(request => request?.Driver != "cdi") == true)
            FindOverrides(env, mounts);
        foreach (var path in mounts.HostPaths)
            if (nodes.Classify(UnixPath.Clean(path) == "/" ? "/dev" : path) is { Kind: DevicePathKind.Gpu })
                AddDevice($"mount of {Quoted.Text(path)}", GpuSelection.Unknown);
        if (_found.Count == 0)
            return null;
        var access =
            _found.Count == 1
                ? _found[0]
                : new(string.Join(", ", _found.Select(f => f.Via).Distinct().Take(4)), GpuSelection.Unknown);
        return access with { Driver = _isDevice ? DriverCapabilities.All : DriverCapabilities.Of(host, env) };
    }

    void FindRequests(HostConfig host)
    {
        foreach (var request in host.DeviceRequests ?? [])
        {
            // Whatever the driver's name and the capabilities: each of NVIDIA's (compute, utility, graphics…) selects
            // its driver, and a CDI name can stand for any device.
            var ids = (request?.DeviceIds ?? []).Select(WithoutCdiKind).ToArray();
            var selection = ids.Contains("all") ? GpuSelection.All : new(ids, request?.Count ?? 0);
            if (request?.Driver == "cdi")
                AddDevice($"CDI device {Quoted.Text(string.Join(',', (request.DeviceIds ?? []).Take(5)))}", selection);
            else
                Add("--gpus", selection);
        }
        foreach (var (key, value) in host.Annotations ?? new Dictionary<string, string>())
            if (key.StartsWith(CdiAnnotation, StringComparison.Ordinal))
                AddDevice($"annotation {Quoted.Text(key)}", new([.. value.Split(',').Select(WithoutCdiKind)]));
    }

    /// <summary>Whether the engine writes what is asked for into the variable, behind what image and user have there:
    /// NVIDIA's toolkit takes the last.</summary>
    static bool SetsVisibleDevices(DeviceRequest? request) =>
        request is { Driver: null or "" or "nvidia" }
        && (request.Count != 0 || request.DeviceIds is { Count: > 0 })
        && request.Capabilities?.Any(wish => wish?.Contains("amd") == true) != true;

    /// <summary><c>nvidia.com/gpu=0</c> is the GPU <c>0</c>.</summary>
    static string WithoutCdiKind(string id) => id[(id.LastIndexOf('=') + 1)..];

    void FindDevices(HostConfig host)
    {
        foreach (var device in host.Devices ?? [])
            if (device?.PathOnHost is { Length: > 0 } path && IsGpu(path, out var node))
                AddDevice($"device {Quoted.Text(node)}", GpuSelection.Unknown);
        foreach (var rule in host.DeviceCgroupRules ?? [])
            if (CoversGpu(rule))
                AddDevice($"device rule {Quoted.Text(rule)}", GpuSelection.Unknown);
        if (host.Privileged && nodes.Classify("/dev").Kind != DevicePathKind.NotGpu)
            AddDevice("--privileged", GpuSelection.All);
    }

    /// <summary>A CDI name, or a path: of a node by what it is, of what the plugin cannot see in doubt yes.</summary>
    bool IsGpu(string path, out string node)
    {
        var found = nodes.Classify(path);
        node = found.Node ?? path;
        return found.Kind != DevicePathKind.NotGpu || (!path.StartsWith('/') && path.Contains('='));
    }

    /// <summary><c>c 195:* rwm</c>. Type <c>a</c> is every device whatever the numbers. Majors other than NVIDIA's 195
    /// and DRM's 226 are given out at boot: of them, 1 to 233 are fixed for other devices.</summary>
    static bool CoversGpu(string rule)
    {
        var fields = rule.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
        if (fields is ["b", ..])
            return false;
        if (fields is not ["c", ..])
            return true;
        var major = fields.Length > 1 ? fields[1].Split(':')[0] : "*";
        return !int.TryParse(major, CultureInfo.InvariantCulture, out var number) || number is 195 or 226 or >= 234;
    }

    void FindVisibleDevices(IReadOnlyDictionary<string, string> env)
    {
        if (env.TryGetValue(VisibleDevices, out var visible))
            AddListed(VisibleDevices, visible);
        else if (IsOldImage(env))
            Add("an old CUDA image", GpuSelection.All);
    }

    /// <summary>From before the variables; the toolkit gives such images all.</summary>
    public static bool IsOldImage(IReadOnlyDictionary<string, string> env) =>
        env.GetValueOrDefault("CUDA_VERSION") is { Length: > 0 }
        && env.GetValueOrDefault("NVIDIA_REQUIRE_CUDA") is null or "";

    /// <summary>Which of them the toolkit heeds, its own settings on the host say.</summary>
    void FindOverrides(IReadOnlyDictionary<string, string> env, ConfiguredMounts mounts)
    {
        foreach (var (name, value) in env)
            if (name.StartsWith(ServiceBody.SwarmResource, StringComparison.Ordinal))
                AddListed(name, value);
        if (
            mounts.OtherTargets.FirstOrDefault(t => UnixPath.IsWithin(t, "/var/run/nvidia-container-devices")) is
            { } target
        )
            Add($"mount at {Quoted.Text(target)}", GpuSelection.Unknown);
    }

    void AddListed(string variable, string value)
    {
        if (value is not ("" or "void" or "none"))
            Add(
                Quoted.Text($"{variable}={value}"),
                value == "all" ? GpuSelection.All : new([.. value.Split(',').Select(WithoutCdiKind)])
            );
    }

    void AddDevice(string via, GpuSelection selection)
    {
        _isDevice = true;
        Add(via, selection);
    }

    void Add(string via, GpuSelection selection) => _found.Add(new(via, selection));
}
