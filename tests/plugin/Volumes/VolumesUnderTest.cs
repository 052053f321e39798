// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

/// <summary>The volumes' services over a folder of their own. <see cref="Restart"/> makes new services over the same
/// folder, as a plugin that was killed does.</summary>
sealed class VolumesUnderTest : IDisposable
{
    public const string Shim = "the shim";
    readonly string _folder = Directory.CreateTempSubdirectory("volumes").FullName;

    /// <param name="shared">As in the plugin: what is mounted below the state appears in namespaces made from this one.
    /// Needs <see cref="PrivateNamespace"/>.</param>
    /// <param name="managed">The state lies where the engine has a managed plugin's propagated mount.</param>
    public VolumesUnderTest(bool shared = false, bool managed = false)
    {
        Settings = new PluginSettings
        {
            State = Path.Combine(_folder, "state"),
            Stage = Path.Combine(_folder, "stage"),
            Shim = Path.Combine(_folder, "shim.so"),
        };
        Directory.CreateDirectory(Settings.State);
        if (shared)
        {
            var source = managed
                ? Path.Combine(_folder, "plugins", new string('1', 64), "propagated-mount")
                : Settings.State;
            Directory.CreateDirectory(source);
            Check(PrivateNamespace.Mount(source, Settings.State, null, 4096, null));
            Check(PrivateNamespace.Mount(null, Settings.State, null, 1 << 20, null));
        }
        File.WriteAllText(Settings.Shim, Shim);
        Directory.CreateDirectory(Path.Combine(_folder, "quiet"));
        File.WriteAllText(Path.Combine(_folder, "quiet", "i686"), "nothing");
        Restart();
    }

    public PluginSettings Settings { get; }
    public FakeTimeProvider Time { get; } = new(new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero));
    public StateLayout Layout { get; private set; } = null!;
    public ReferenceTable References { get; private set; } = null!;
    public PrivateDirectories Directories { get; private set; } = null!;
    public Activations Activations { get; private set; } = null!;
    public WatchedHost Host { get; private set; } = null!;
    public VolumeMakers Makers { get; } = new();
    public int MaxVolumes { get; set; } = 1000;
    public VolumeCatalog Catalog { get; private set; } = null!;
    public VolumeDriver Driver { get; private set; } = null!;
    public HiddenMounts Hidden { get; private set; } = null!;
    public GuardAtWill Guard { get; } = new();

    public void Restart()
    {
        var mounts = Hidden = new HiddenMounts(new ProcMountTable());
        Layout = new StateLayout(Settings);
        References = new ReferenceTable(Layout);
        Directories = new PrivateDirectories(Layout, new ShimStore(Layout), mounts);
        var identity = new PluginIdentity(Layout, Settings, mounts);
        Host = new WatchedHost(
            new HostView(Layout, mounts, Directories, identity, Time, NullLogger<HostView>.Instance)
        );
        Activations = new Activations(
            Directories,
            References,
            mounts,
            mounts,
            Host,
            Time,
            NullLogger<Activations>.Instance
        );
        Activations.Restore();
        Catalog = new VolumeCatalog(Layout, identity, NullLogger<VolumeCatalog>.Instance, Makers)
        {
            MaxVolumes = () => MaxVolumes,
        };
        Catalog.Load();
        Driver = new VolumeDriver(Catalog, Activations, Guard, Status, Looks = new(Time));
    }

    public StatusAtWill Status { get; } = new();
    public VolumeLooks Looks { get; private set; } = null!;

    public VolumeInfo? Describe(string name) =>
        Driver.DescribeAsync(name, CancellationToken.None).AsTask().GetAwaiter().GetResult();

    public string Mount(string id, string volume = "runai")
    {
        var result = Driver.MountAsync(volume, id, CancellationToken.None).Result;
        return result.Mountpoint ?? throw new InvalidOperationException(result.Error);
    }

    public string? Unmount(string id) => Driver.UnmountAsync("runai", id, CancellationToken.None).Result;

    /// <summary>The containers that the engine says run.</summary>
    public HashSet<string> Running { get; } = [];

    public IReadOnlyList<string> Collect(TimeSpan grace) =>
        Activations
            .CollectAsync(grace, reference => Task.FromResult(Running.Contains(reference.Container!)))
            .GetAwaiter()
            .GetResult();

    public void Dispose()
    {
        // Inside a namespace of its own nothing of it is left; a folder that is still busy outside would be a leak
        // worth an error.
        Sh.Run(
            $"for at in '{Settings.Stage}' '{Settings.State}'/mounts/* '{Settings.State}'; do while umount -lR "
                + $"\"$at\" 2>/dev/null; do :; done; done; rm -rf --one-file-system '{_folder}'"
        );
    }

    static void Check(int result)
    {
        if (result != 0)
            throw new InvalidOperationException("mount failed");
    }
}

/// <summary>The mounts of some processes cannot be read.</summary>
sealed class HiddenMounts(IMountTable real) : IMountTable, IProcessCgroups
{
    public HashSet<int> Pids { get; } = [];

    public IEnumerable<MountEntry> Own() => real.Own();

    public IReadOnlyList<MountEntry> OfProcess(int pid) =>
        Pids.Contains(pid) ? [MountEntry.Unreadable] : real.OfProcess(pid);

    public IEnumerable<MountEntry> OneByOne(int pid) => OfProcess(pid);

    public bool IsInContainer(int pid, string container) => false;

    public IReadOnlyList<string> ContainersOf(int pid) => Pids.Contains(pid) ? [new('c', 64)] : [];

    public IEnumerable<(int Pid, IEnumerable<MountEntry> Mounts)> All() =>
        real.All().Select(one => (one.Pid, Pids.Contains(one.Pid) ? OfProcess(one.Pid) : one.Mounts));
}

/// <summary>Says what it was asked.</summary>
sealed class StatusAtWill : IStatusSource
{
    public Task<RawJson> ReportAsync(string? user, CancellationToken cancel) => Answer($"report of {user ?? "all"}");

    public Task<RawJson> SummaryAsync(QuotaVolume volume, bool measures, CancellationToken cancel) =>
        Answer($"summary of {volume.Name}{(measures ? ", measured" : "")}");

    static Task<RawJson> Answer(string text) => Task.FromResult(new RawJson(Encoding.UTF8.GetBytes($"\"{text}\"")));
}

/// <summary>Refuses when the test says so.</summary>
sealed class GuardAtWill : IMountGuard
{
    public string? Refusal { get; set; }

    public Task<string?> RefusalAsync(CancellationToken cancel) => Task.FromResult(Refusal);
}

/// <summary>Counts the restarts instead of doing them.</summary>
sealed class WatchedHost(IHostView real) : IHostView
{
    public int Restarts { get; private set; }

    public bool Propagates() => real.Propagates();

    public bool IsMountVisible(string dirId) => real.IsMountVisible(dirId);

    public void RestartProcess() => Restarts++;

    public void Settled() { }
}

/// <summary>Shell commands as a test's view from outside; they run in the namespaces of the calling thread.</summary>
static class Sh
{
    public static (int Code, string Output) Run(string command)
    {
        using var process = Start(command);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output.TrimEnd());
    }

    /// <summary>A command that waits on its standard input: it ends when that is closed.</summary>
    public static Process Start(string command) =>
        Process.Start(
            new ProcessStartInfo("/bin/sh", ["-c", $"{{ {command}; }} 2>&1"])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
            }
        )!;
}

/// <summary>A "container": a process with a private mount namespace in which the directory is bound, as the engine does
/// it.</summary>
sealed class FakeContainer : IDisposable
{
    /// <summary>Programs of Python that say <c>ready</c> and end when their input does: one whose first thread ends at
    /// once while another waits, and one that changes its root to a plain folder.</summary>
    public const string Zombie =
        "import ctypes, os, sys, threading\nthreading.Thread(target=lambda: (sys.stdin.read(), "
        + "os._exit(0))).start()\nprint(\"ready\", flush=True)\nctypes.CDLL(None).pthread_exit(None)";
    public const string Chrooted =
        "import os, sys\nos.mkdir(\"/tmp/plain\") if not os.path.isdir(\"/tmp/plain\") else "
        + "0\nos.chroot(\"/tmp/plain\")\nprint(\"ready\", flush=True)\nsys.stdin.read()";
    readonly Process _process;

    /// <param name="source">The directory.</param>
    /// <param name="target">Where it is bound.</param>
    /// <param name="python">What the first process does; by default it waits.</param>
    public FakeContainer(string source, string target, string? python = null)
    {
        Directory.CreateDirectory(target);
        _process = Sh.Start(
            $"exec unshare -m --propagation private sh -c 'mount --rbind \"{source}\" \"{target}\" && "
                + $"{(python is null ? "echo ready && exec cat" : $"exec python3 -c '\\''{python}'\\''")}'"
        );
        var line = _process.StandardOutput.ReadLine();
        if (line != "ready")
            throw new InvalidOperationException(line);
    }

    public int Pid => _process.Id;

    public void Dispose()
    {
        _process.StandardInput.Close();
        _process.WaitForExit();
        _process.Dispose();
    }
}
