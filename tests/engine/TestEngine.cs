// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using Docker.DotNet;
using Docker.DotNet.Models;

namespace Runai.GpuMemory.EngineTests;

/// <summary>A real dockerd in namespaces of its own, with the managed plugin installed, enabled and named in its
/// authorization plugins, and a simulated GPU of 10989 MiB (or several) behind <c>--gpus</c>.</summary>
sealed class TestEngine : IDisposable
{
    public const string Plugin = "runai/gpu-memory";
    public const string Image = "gpu-demo";
    public const int TotalMiB = 10989;

    readonly string _folder;
    readonly string? _binaries;
    readonly Dictionary<string, string> _environment;

    /// <param name="version">20.10 (installed), 26.1 or 28.5 (unpacked).</param>
    /// <param name="gpus">How many simulated GPUs the host has.</param>
    /// <param name="authorize">Whether the plugin is named in the authorization plugins.</param>
    /// <param name="policy">The text of the admin's policy file. With one, the engine's host has GPU nodes in its /dev
    /// too.</param>
    /// <param name="install">Whether the plugin is created and enabled.</param>
    /// <param name="flags">More flags for dockerd.</param>
    public TestEngine(
        string version,
        int gpus = 1,
        bool authorize = true,
        string? policy = null,
        bool install = true,
        params string[] flags
    )
    {
        Version = version;
        _folder = Directory.CreateTempSubdirectory("gpu-engine-").FullName;
        // Users that the engine maps others to have to get through.
        File.SetUnixFileMode(
            _folder,
            File.GetUnixFileMode(_folder) | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute
        );
        _binaries = version == "20.10" ? null : Path.Combine(Repository.Build, "engines", version);
        Gpus = Path.Combine(_folder, "run/simgpu");
        _environment = new Dictionary<string, string>
        {
            ["DOCKER_HOST"] = $"unix://{_folder}/run/docker.sock",
            ["DOCKER_SOCKET"] = $"{_folder}/run/docker.sock",
            ["DOCKER_CONFIG"] = Path.Combine(_folder, "cli"),
            ["SIMGPU_DIR"] = Gpus,
            ["SIMGPU_LIB"] = Path.Combine(Repository.Build, "sim"),
            ["PATH"] = (_binaries is null ? "" : _binaries + ":") + "/usr/sbin:/usr/bin:/sbin:/bin",
        };
        try
        {
            Directory.CreateDirectory(Path.Combine(_folder, "run"));
            Shell.Run(Sim("simgpu"), "create", Gpus, "--gpus", $"{gpus}", "--total", $"{TotalMiB}m").Ok();
            File.WriteAllText(Configuration, "{}");
            string[] up = ["up", _folder, "--path", Sim("")];
            if (_binaries is not null)
                up = [.. up, "--bin", _binaries];
            Control([
                .. up,
                "--",
                "--config-file",
                Configuration,
                .. Major < 28 ? [] : (string[])["--cdi-spec-dir", Path.Combine(_folder, "cdi")],
                .. flags,
            ]);
            if (policy is not null)
            {
                MakeNodes();
                WritePolicy(policy);
            }

            Directory.CreateDirectory(Path.Combine(_folder, "etc/docker"));
            if (install)
                InstallPlugin();
            if (install && authorize)
                Authorize();
            Docker("import", Repository.Image, Image).Ok();
            Api = new DockerClientBuilder().WithEndpoint(new Uri($"unix://{Socket}")).Build();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public string Version { get; }

    /// <summary>The environment of a client of this engine.</summary>
    public IReadOnlyDictionary<string, string> Variables => _environment;

    /// <summary>What this engine calls the plugin.</summary>
    public string Name { get; set; } = Plugin;

    /// <summary>The state of the simulated GPUs, for <c>simgpu</c>.</summary>
    public string Gpus { get; }

    public int Major => int.Parse(Version.Split('.')[0], System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>The engine's daemon.json.</summary>
    public string Configuration => Path.Combine(_folder, "daemon.json");

    public string Log => File.ReadAllText(Path.Combine(_folder, "log"));

    /// <summary>A process that holds the engine's namespaces.</summary>
    public string Keeper => File.ReadAllText(Path.Combine(_folder, "keeper")).Trim();

    /// <summary>Where the engine looks for plugins that are plain sockets, in its own mount namespace.</summary>
    public string PluginSockets => $"/proc/{Keeper}/root/run/docker/plugins";

    /// <summary>dockerd's.</summary>
    public int Daemon =>
        int.Parse(File.ReadAllText(Path.Combine(_folder, "pid")), System.Globalization.CultureInfo.InvariantCulture);

    public string Socket => Path.Combine(_folder, "run/docker.sock");

    /// <summary>The plugin reads it when it is enabled, and within a second or two of a change.</summary>
    /// <param name="text">Null: no policy file.</param>
    public void WritePolicy(string? text)
    {
        var file = Path.Combine(
            Directory.CreateDirectory(Path.Combine(_folder, "etc/docker")).FullName,
            "gpu-memory.json"
        );
        if (text is null)
        {
            File.Delete(file);
            return;
        }

        File.WriteAllText(file + ".new", text);
        File.Move(file + ".new", file, overwrite: true);
    }

    /// <summary>Writes another policy than the one in force, and waits until the plugin has read it.</summary>
    public void Enforce(string policy)
    {
        int Read() => Log.Split("is in force mode=").Length;
        var before = Read();
        WritePolicy(policy);
        Eventually(() => Read() > before, "the policy is in force");
    }

    /// <summary>Puts a CDI specification where this engine (28 and newer) looks: <c>nvidia.com/gpu=all</c> and
    /// <c>acme.com/thing=any</c> are GPU 0 with its node.</summary>
    public void WriteCdiSpecifications()
    {
        var folder = Directory.CreateDirectory(Path.Combine(_folder, "cdi")).FullName;
        foreach (var (kind, device) in ((string, string)[])[("nvidia.com/gpu", "all"), ("acme.com/thing", "any")])
            File.WriteAllText(
                Path.Combine(folder, $"{kind.Split('/')[0]}.json"),
                $$"""
                {"cdiVersion": "0.5.0", "kind": "{{kind}}", "devices": [{"name": "{{device}}", "containerEdits": {
                    "env": ["NVIDIA_VISIBLE_DEVICES=0"],
                    "deviceNodes": [{"path": "/dev/nvidia0"}],
                    "hooks": [{"hookName": "createRuntime", "path": "{{Sim(
                    "nvidia-container-runtime-hook"
                )}}", "args": ["hook", "createRuntime"], "env": ["SIMGPU_DIR={{Gpus}}", "SIMGPU_LIB={{Sim(
                    ""
                )}}"] }] } }] }
                """
            );
    }

    /// <summary>API calls in types, where their bytes are not the point.</summary>
    public DockerClient Api { get; } = null!;

    /// <summary>How a container is, which must be there.</summary>
    public State StateOf(string container) =>
        Api.Containers.InspectContainerAsync(container).GetAwaiter().GetResult().State!;

    public bool Runs(string container) => StateOf(container).Running;

    /// <summary>One API call, byte for byte as given.</summary>
    public RawAnswer Raw(string method, string target, byte[]? body = null, params string[] headers) =>
        RawClient.Send(Socket, method, target, body, headers);

    public static string Sim(string name) => Path.Combine(Repository.Build, "sim", name);

    /// <summary>The client of the engine's time.</summary>
    public string Cli => Path.Combine(_binaries ?? "/usr/bin", "docker");

    public Output Docker(params IEnumerable<string> arguments) => Command(Cli, arguments);

    /// <summary>Any client, pointed at this engine.</summary>
    public Output Command(string command, params IEnumerable<string> arguments) =>
        Shell.Run(_environment, command, arguments);

    /// <summary>A command in the engine's own network namespace.</summary>
    public Output InNetwork(params IEnumerable<string> command) =>
        Command("nsenter", [$"--net=/proc/{Keeper}/ns/net", "--", .. command]);

    /// <summary><c>docker run --network none --gpus 1 …</c></summary>
    public Output Run(params IEnumerable<string> arguments) =>
        Docker(["run", "--network", "none", "--gpus", "1", .. arguments]);

    /// <summary>The same, in the background; the container's ID.</summary>
    public string Start(params IEnumerable<string> arguments) => Run(["-d", .. arguments]).Ok();

    /// <summary>What nvidia-smi in a running container shows: total and used MiB.</summary>
    public (int Total, int Used) Smi(string container, params string[] prefix) =>
        ParseSmi(
            Docker([
                    "exec",
                    container,
                    .. prefix,
                    "nvidia-smi",
                    "--query-gpu=memory.total,memory.used",
                    "--format=csv,noheader,nounits",
                ])
                .Ok()
        );

    public static (int Total, int Used) ParseSmi(string output)
    {
        var figures = output
            .Split('\n')[0]
            .Split(',')
            .Select(f => int.Parse(f, System.Globalization.CultureInfo.InvariantCulture))
            .ToArray();
        return (figures[0], figures[1]);
    }

    public static string[] SmiQuery { get; } =
    ["nvidia-smi", "--query-gpu=memory.total,memory.used", "--format=csv,noheader,nounits"];

    /// <summary>MiB of 10989 that a fraction shows.</summary>
    public static int Part(decimal fraction) => (int)(TotalMiB * fraction);

    public void ForgetPeak() => Shell.Run(Sim("simgpu"), "set", Gpus, "--peak", "0").Ok();

    /// <summary>The highest use of GPU 0 that the simulated driver saw since <see cref="ForgetPeak"/>, in
    /// bytes.</summary>
    public long Peak() =>
        long.Parse(
            Shell.Run(Sim("simgpu"), "peak", Gpus).Ok().Split('\n')[0].Split(' ')[^1],
            System.Globalization.CultureInfo.InvariantCulture
        );

    public void InstallCliPlugin(string name, string file)
    {
        var folder = Directory.CreateDirectory(Path.Combine(_environment["DOCKER_CONFIG"], "cli-plugins")).FullName;
        File.Delete(Path.Combine(folder, name));
        File.CreateSymbolicLink(Path.Combine(folder, name), file);
    }

    /// <summary>Creates, sets and enables it.</summary>
    public void InstallPlugin()
    {
        Docker("plugin", "create", Name, Path.Combine(Repository.Build, "plugin")).Ok();
        Docker(["plugin", "set", Name, .. Settings]).Ok();
        Docker("plugin", "enable", Name).Ok();
    }

    /// <summary>With which the plugin finds this engine and the simulated driver.</summary>
    public string[] Settings =>
        [
            $"etc.source={_folder}/etc",
            $"run.source={_folder}/run",
            $"driver.source={Sim("")}",
            "NVML_LIBRARY=/host/usr/libnvidia-ml.so.1",
            "LOG_LEVEL=debug",
            "WATCH_USE=2",
        ];

    /// <summary>As an upgrade does: the plugin is disabled for a while, and comes back.</summary>
    /// <param name="meanwhile">What is done while it is away.</param>
    public void TakePluginAway(Action? meanwhile = null)
    {
        AskNobody();
        Docker("plugin", "disable", "-f", Name).Ok();
        meanwhile?.Invoke();
        Docker("plugin", "enable", Name).Ok();
        Authorize();
    }

    /// <summary>The plugin's root file system, as a path of the host: what an upgrade replaces.</summary>
    public string PluginRoot => Path.Combine(_folder, "root/plugins", PluginId(), "rootfs");

    public void Stop() => Control("stop", _folder);

    public void KillEngine() => Control("kill9", _folder);

    public void StartAgain() => Control("start", _folder);

    /// <summary>kill -9 of the plugin's process; the engine starts it again.</summary>
    public void KillPlugin()
    {
        var id = PluginId(); // the engine answers nobody while the plugin is away
        var before = PluginProcess(id);
        Process.GetProcessById(before).Kill();
        Eventually(() => PluginProcess(id) is var now && now != before && now != 0, "the plugin runs again");
    }

    public int PluginProcess() => PluginProcess(PluginId());

    public string PluginId() => Docker("plugin", "inspect", Name, "--format", "{{.Id}}").Ok();

    static int PluginProcess(string id)
    {
        foreach (var process in Process.GetProcessesByName("runai-gpu-memory"))
        {
            if (ProcFile.TryRead($"/proc/{process.Id}/cgroup")?.Contains(id, StringComparison.Ordinal) == true)
                return process.Id;
        }

        return 0;
    }

    /// <summary>A folder of the plugin's state, as a path of the host.</summary>
    public string StateFolder(string name) =>
        Path.Combine(_folder, "root/plugins", PluginId(), "propagated-mount", name);

    /// <summary>The private directories that the plugin keeps, as paths of the host.</summary>
    public string[] PrivateDirectories()
    {
        var folder = Path.Combine(_folder, "root/plugins", PluginId(), "propagated-mount/state");
        return Directory.Exists(folder) ? Directory.GetDirectories(folder) : [];
    }

    /// <summary>The lines of a container's mount table with this target.</summary>
    public string MountOf(string container, string target) =>
        string.Join(
            '\n',
            File.ReadLines($"/proc/{StateOf(container).Pid}/mountinfo").Where(line => line.Split(' ')[4] == target)
        );

    public static void Eventually(Func<bool> condition, string what, int seconds = 20) =>
        Eventually(condition, () => what, seconds);

    public static void Eventually(Func<bool> condition, Func<string> what, int seconds = 20)
    {
        var clock = Stopwatch.StartNew();
        while (!condition())
        {
            if (clock.Elapsed.TotalSeconds > seconds)
                throw new TimeoutException($"not within {seconds} s: {what()}");
            Thread.Sleep(50);
        }
    }

    /// <summary>A /dev of the engine's own with what a GPU host has: NVIDIA's and DRM's nodes, without a driver behind
    /// them.</summary>
    void MakeNodes()
    {
        Shell
            .Run(
                "nsenter",
                "--target",
                Keeper,
                "--mount",
                "--",
                "sh",
                "-ec",
                """
                mkdir "$0/dev" && mount -t tmpfs tmpfs "$0/dev" && cd "$0/dev"
                for node in null zero full random urandom tty ptmx console fuse kmsg fd stdin stdout stderr; do ! [ -e /dev/$node ] || cp -a /dev/$node .; done
                mkdir pts shm mqueue dri char
                mount --rbind /dev/pts pts && mount --rbind /dev/shm shm
                for minor in 0 1 255; do mknod nvidia$minor c 195 $minor; done
                mv nvidia255 nvidiactl
                mknod dri/card0 c 226 0 && mknod dri/renderD128 c 226 128 && ln -s ../nvidia0 char/195:0 && ln -s nvidia0 innocent
                mknod disk b 7 99 && ln -s disk by-name && mknod mem c 1 1
                mount --rbind "$0/dev" /dev
                """,
                _folder
            )
            .Ok();
    }

    /// <param name="others">Authorization plugins that the engine asks after ours.</param>
    public void Authorize(params string[] others) => Ask([Name, .. others]);

    /// <summary>Takes the plugin out of the authorization plugins.</summary>
    public void AskNobody() => Ask();

    /// <summary>Names the authorization plugins, in the order in which they are asked.</summary>
    public void Ask(params string[] plugins)
    {
        Configure(
            plugins.Length == 0 ? "{}" : $$"""{"authorization-plugins": ["{{string.Join("\", \"", plugins)}}"]}"""
        );
        var asks = plugins.Contains(Name);
        Eventually(
            () => AsksPlugin() == asks,
            asks ? "the engine asks the plugin" : "the engine does not ask the plugin"
        );
    }

    /// <summary>Writes daemon.json, and waits until the engine has read it.</summary>
    public void Configure(string json)
    {
        File.WriteAllText(Configuration, json);
        Control("reload", _folder);
    }

    /// <summary>A path of the engine's own folder: <c>etc</c> is its host's /etc to the plugin.</summary>
    public string PathOf(string name) => Path.Combine(_folder, name);

    /// <summary>`docker info` does not list plugins that were named after the engine's start.</summary>
    bool AsksPlugin() =>
        Docker("create", "--pull", "never", "--label", "gpu-memory=0", "no-such-image")
            .Error.Contains($"denied by plugin {Name}", StringComparison.Ordinal);

    void Control(params string[] arguments) =>
        Shell.Run(_environment, Repository.Script("private-engine.sh"), arguments).Ok();

    public void Dispose()
    {
        Api?.Dispose();
        Control("down", _folder);
    }
}
