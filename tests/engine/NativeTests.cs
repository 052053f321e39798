// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using NUnit.Framework;

namespace Runai.GpuMemory.EngineTests;

/// <summary>The program that <c>make rootfs</c> builds, with the libraries of its root file system and no others; that
/// for arm64 under qemu-user (<c>make test-arm64</c>).</summary>
[TestFixture("x64", "lib64/ld-linux-x86-64.so.2", "")]
[TestFixture("arm64", "lib/ld-linux-aarch64.so.1", "qemu-aarch64-static", Category = "Arm64")]
sealed class NativeTests(string architecture, string loader, string emulator)
{
    readonly string _folder = Directory.CreateTempSubdirectory("native.").FullName;
    readonly List<string> _log = [];
    Process? _program;

    string RootFs => Path.Combine(Repository.Build, architecture == "x64" ? "" : architecture, "plugin/rootfs");
    string Listens => Path.Combine(_folder, "gpu.sock");

    [OneTimeSetUp]
    public void Start()
    {
        Assert.That(RootFs, Does.Exist, $"make rootfs PLUGIN_ARCH={architecture}");
        var libraries = Directory.GetDirectories(Path.Combine(RootFs, "lib"), "*-linux-gnu").Single();
        string[] line =
        [
            Path.Combine(RootFs, loader),
            "--inhibit-cache",
            "--library-path",
            libraries,
            Path.Combine(RootFs, "usr/lib/runai/plugin/runai-gpu-memory"),
        ];
        if (emulator.Length > 0)
            line = [emulator, .. line];
        line = ["unshare", "--mount", .. line]; // what it mounts is gone with it
        var start = new ProcessStartInfo(line[0], line[1..])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (
            var (name, value) in (ReadOnlySpan<(string, string)>)
                [
                    ("LOG_LEVEL", "debug"),
                    ("SOCKET", Listens),
                    ("STATE", _folder),
                    ("STAGE", Path.Combine(_folder, "stage")),
                    ("SHIM", Path.Combine(RootFs, "usr/lib/runai/librunai.so")),
                    ("DOCKER_HOST", $"unix://{_folder}/docker.sock"),
                    ("POLICY", Path.Combine(_folder, "policy.json")),
                    ("WATCH_USE", "0"),
                ]
        )
            start.Environment[name] = value;
        _program = Process.Start(start)!;
        _program.OutputDataReceived += (_, line) => Take(line.Data);
        _program.ErrorDataReceived += (_, line) => Take(line.Data);
        _program.BeginOutputReadLine();
        _program.BeginErrorReadLine();
        TestEngine.Eventually(() => File.Exists(Listens) || _program.HasExited, "the program listens", seconds: 60);
    }

    [OneTimeTearDown]
    public void End()
    {
        if (_program is { HasExited: false })
            _program.Kill();
        _program?.WaitForExit();
        _program?.Dispose();
        foreach (var line in _log)
            TestContext.Out.WriteLine(line);
        Directory.Delete(_folder, recursive: true);
    }

    void Take(string? line)
    {
        lock (_log)
            _log.Add(line ?? "");
    }

    string Log
    {
        get
        {
            lock (_log)
                return string.Join('\n', _log);
        }
    }

    [Test]
    public void The_program_initializes_its_types_at_the_start()
    {
        var types = typeof(PluginSettings).Assembly.GetTypes().Count(type => !type.ContainsGenericParameters);
        TestEngine.Eventually(
            () => Log.Contains("the static state of", StringComparison.Ordinal),
            "it says so",
            seconds: 60
        );
        Assert.That(Log, Does.Contain($"the static state of {types} types is there"));
    }

    [Test]
    public void The_program_says_what_it_implements() =>
        Assert.That(
            RawClient.Send(Listens, "POST", "/Plugin.Activate", []).ToString(),
            Is.EqualTo("""200 {"Implements":["VolumeDriver","authz"]}""")
        );

    [Test]
    public void The_program_allows_an_unrelated_call() =>
        Assert.That(Ask("GET", "/_ping", "").ToString(), Is.EqualTo("""200 {"Allow":true,"Msg":"","Err":""}"""));

    [Test]
    public void The_program_refuses_an_invalid_quota()
    {
        var answer = Ask(
            "POST",
            "/v1.41/containers/create",
            """{"Image":"x","Labels":{"gpu-memory":"2x"},"HostConfig":{"Binds":["runai:/runai"]}}"""
        );
        Assert.That(answer.ToString(), Does.StartWith("""200 {"Allow":false,"Msg":"gpu-memory""").And.Contain("2x"));
    }

    /// <summary>An engine that hangs up on all who ask is one that boots. The mounts are in the program's own namespace
    /// and need no propagation there. qemu-user has no fanotify.</summary>
    [Test]
    public void The_program_mounts_a_volume_once_an_engine_listens()
    {
        const string Volume = """{"Name":"half","Opts":{"gpu-memory":"0.5"}}""";
        var start = $$"""{"Name":"half","ID":"{{new string('a', 64)}}"}""";
        Assert.That(Drive("Create", Volume), Is.EqualTo("""200 {"Err":""}"""));
        Assert.That(
            Drive("Mount", start),
            Does.Contain($"the plugin finds no engine at {_folder}/docker.sock, so no limit would hold")
        );
        using var engine = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        engine.Bind(new UnixDomainSocketEndPoint(Path.Combine(_folder, "docker.sock")));
        engine.Listen();
        _ = HangUpAsync(engine);
        TestEngine.Eventually(
            () => Drive("Mount", start).Contains("\"Mountpoint\":\"/", StringComparison.Ordinal),
            Log
        );
        Assert.That(
            File.ReadAllText($"/proc/{_program!.Id}/mountinfo"),
            Does.Contain($"/mounts/{new string('a', 64)} ro,")
        );
        if (emulator.Length > 0)
            Assert.That(Log, Does.Contain("the kernel does not report when a program opens the shim"));
        Assert.That(Drive("Unmount", start), Is.EqualTo("""200 {"Err":""}"""));
    }

    static async Task HangUpAsync(Socket engine)
    {
        try
        {
            while (true)
                (await engine.AcceptAsync()).Dispose();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException) { }
    }

    string Drive(string call, string body) =>
        RawClient.Send(Listens, "POST", $"/VolumeDriver.{call}", Encoding.UTF8.GetBytes(body)).ToString();

    [Test]
    public void The_wrapper_runs_and_names_its_version()
    {
        var wrapper = Path.Combine(Repository.Build, architecture == "x64" ? "" : architecture, "cli/runai-docker");
        string[] line = [wrapper, "docker-cli-plugin-metadata"];
        if (emulator.Length > 0)
            line = [emulator, "-L", "/usr/aarch64-linux-gnu", .. line];
        var version = typeof(PluginSettings).Assembly.GetName().Version!.ToString(3);
        Assert.That(Shell.Run(line[0], line[1..]).Ok(), Does.Contain($"\"Version\":\"{version}\""));
    }

    RawAnswer Ask(string method, string uri, string body)
    {
        var call =
            $$"""{"RequestMethod":"{{method}}","RequestUri":"{{uri}}","RequestHeaders":{"Content-Type":"application/json"},"RequestBody":"{{Convert.ToBase64String(Encoding.UTF8.GetBytes(body))}}"}""";
        return RawClient.Send(Listens, "POST", "/AuthZPlugin.AuthZReq", Encoding.UTF8.GetBytes(call));
    }
}
