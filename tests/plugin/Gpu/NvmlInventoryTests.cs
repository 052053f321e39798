// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Tests.Reconciliation;
using Runai.GpuMemory.Tests.Volumes;

namespace Runai.GpuMemory.Tests.Gpu;

/// <summary>Real shared libraries in the place of NVML: the simulated GPU's, and small ones with this or that
/// fault.</summary>
sealed partial class NvmlInventoryTests
{
    string _folder = null!;
    ConcurrentQueue<string> _log = null!;
    FakeTimeProvider _time = null!;

    [SetUp]
    public void SetUp() => (_folder, _log, _time) = (Directory.CreateTempSubdirectory("nvml").FullName, new(), new());

    [TearDown]
    public void TearDown() => Directory.Delete(_folder, recursive: true);

    NvmlInventory Over(string library) =>
        new(new PluginSettings { NvmlLibrary = library }, new NoNodes(), _time, new ListLogger<NvmlInventory>(_log));

    sealed class NoNodes : IDriverNodes
    {
        public void Provide() { }
    }

    /// <summary>A driver of two GPUs; what the defines say is missing or fails. Calls are logged to a file.</summary>
    string Build(params string[] defines)
    {
        var (source, library) = (Path.Combine(_folder, "nvml.c"), Path.Combine(_folder, "libnvidia-ml.so.1"));
        File.WriteAllText(
            source,
            """
            #include <stdio.h>
            #include <string.h>
            static void say(const char *what) { FILE *f = fopen(CALLS, "a"); fprintf(f, "%s\n", what); fclose(f); }
            #ifndef NO_INIT
            int nvmlInit_v2(void) { say("init"); return INIT; }
            #endif
            int nvmlShutdown(void) { say("shutdown"); return 0; }
            const char *nvmlErrorString(int e) { return e == 9 ? "Driver Not Loaded" : "GPU is lost"; }
            int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }
            int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(i + 1L); return i == 0 ? FIRST : 0; }
            int nvmlDeviceGetUUID(void *d, char *s, unsigned n) { snprintf(s, n, "GPU-%ld", (long)d); return 0; }
            int nvmlDeviceGetName(void *d, char *s, unsigned n) { snprintf(s, n, "Test GPU"); return 0; }
            #ifdef MIG
            int nvmlDeviceGetMigMode(void *d, unsigned *now, unsigned *later) { *now = (long)d == 2; *later = 1; return MIG; }
            #endif
            #ifdef VERSION
            int nvmlSystemGetDriverVersion(char *s, unsigned n) { snprintf(s, n, "450.36.06"); return VERSION; }
            #endif
            struct v1 { unsigned long long total, free, used; };
            int nvmlDeviceGetMemoryInfo(void *d, struct v1 *m) { m->total = 1000; m->free = 900; m->used = 100; return V1; }
            #ifndef NO_V2
            struct v2 { unsigned version; unsigned long long total, reserved, free, used; };
            int nvmlDeviceGetMemoryInfo_v2(void *d, struct v2 *m) {
                if (m->version != (sizeof(*m) | 2u << 24)) return 25;
                m->total = 1000; m->reserved = 50; m->free = 850; m->used = 100; return 0;
            }
            #endif
            struct row { unsigned pid; unsigned long long bytes; unsigned gi, ci; };
            static int list(void *d, unsigned *n, char *out, unsigned size, int graphics) {
                unsigned all = (long)d == 2 ? 300 : 2, room = *n;
                *n = all;
                if (room < all) return 7;
                for (unsigned i = 0; i < all; i++) {
                    struct row row = {i + 10 * (long)d, i == 1 ? -1ull : 500 + graphics, -1, -1};
                    memcpy(out + i * size, &row, size);
                }
                return 0;
            }
            #ifndef NO_BUSY
            struct sample { unsigned pid; unsigned long long time; unsigned sm, memory, encoder, decoder; };
            int nvmlDeviceGetProcessUtilization(void *d, struct sample *out, unsigned *n, unsigned long long since) {
                unsigned all = (long)d == 2 ? 300 : 2, room = *n;
                *n = all;
                if (BUSY) return BUSY;
                if (room < all) return 7;
                for (unsigned i = 0; i < all; i++) out[i] = (struct sample){i + 10 * (long)d, 1, 40 + i % 50, 0, 0, 0};
                return 0;
            }
            #endif
            #define LIST(kind, version, size, graphics) int nvmlDeviceGet##kind##RunningProcesses##version(void *d, unsigned *n, char *out) { return list(d, n, out, size, graphics); }
            #if LISTS == 3
            LIST(Compute, _v3, 24, 0) LIST(Graphics, _v3, 24, 1)
            #elif LISTS == 2
            LIST(Compute, _v2, 24, 0) LIST(Graphics, _v2, 24, 1)
            #endif
            #if LISTS != 0
            LIST(Compute, , 16, 0) LIST(Graphics, , 16, 1)
            #endif
            """
        );
        string[] values = ["INIT=0", "FIRST=0", "V1=0", "LISTS=3", "BUSY=0"];
        var all = values
            .Where(value => !defines.Any(define => define.Split('=')[0] == value.Split('=')[0]))
            .Concat(defines)
            .Append($"CALLS=\\\"{_folder}/calls\\\"");
        Assert.That(
            Sh.Run($"gcc -shared -fPIC -w {string.Join(' ', all.Select(one => "-D" + one))} -o {library} {source}"),
            Is.EqualTo((0, ""))
        );
        return library;
    }

    string[] Calls() => File.Exists($"{_folder}/calls") ? File.ReadAllLines($"{_folder}/calls") : [];

    [Test]
    public void All_gpus_are_listed_with_their_reserved_memory()
    {
        var gpus = Over(Build());
        Assert.That(
            gpus.Devices,
            Is.EqualTo(
                new[]
                {
                    new GpuDevice(0, "GPU-1", "Test GPU", 1000, 50),
                    new GpuDevice(1, "GPU-2", "Test GPU", 1000, 50),
                }
            )
        );
        Assert.That(gpus.Problem, Is.Null);
        Assert.That(Calls(), Is.EqualTo(new[] { "init", "shutdown" }), "once, however often it is asked");
        Assert.That(File.ReadAllText("/proc/self/maps"), Does.Not.Contain(_folder), "and unloaded");
    }

    [Test]
    public void An_older_driver_has_no_reserved_memory() =>
        Assert.That(
            Over(Build("NO_V2")).Devices.Select(gpu => (gpu.TotalBytes, gpu.ReservedBytes)),
            Is.All.EqualTo((1000L, 0L))
        );

    [TestCase(new[] { "MIG=0", "VERSION=0" }, true)]
    [TestCase(new[] { "MIG=3", "VERSION=3" }, false)]
    [TestCase(new string[] { }, false)]
    public void The_drivers_version_and_divided_GPUs_are_known(string[] defines, bool areKnown)
    {
        var gpus = Over(Build(defines));
        Assert.That(gpus.Devices.Select(gpu => gpu.IsDivided), Is.EqualTo(new[] { false, areKnown }));
        Assert.That(gpus.DriverVersion, Is.EqualTo(areKnown ? "450.36.06" : null));
    }

    [Test]
    public void A_lost_gpu_does_not_hide_the_others()
    {
        Assert.That(Over(Build("FIRST=15")).Devices.Select(gpu => gpu.Index), Is.EqualTo(new[] { 1 }));
        Assert.That(_log, Has.Some.Contains("GPU 0 cannot be read: nvmlDeviceGetHandleByIndex_v2: GPU is lost (15)"));
    }

    [Test]
    public void A_gpu_without_memory_of_its_own_has_no_size()
    {
        var gpus = Over(Build("NO_V2", "V1=3"));
        Assert.That(gpus.Devices, Is.Empty);
        Assert.That(gpus.Problem, Does.Contain("nvmlDeviceGetMemoryInfo"));
    }

    [Test]
    public void A_missing_library_is_reported_once_and_retried()
    {
        var gpus = Over(Build("INIT=9"));
        for (var n = 0; n < 5; n++)
            Assert.That(gpus.Devices, Is.Empty);
        Assert.That(gpus.Problem, Is.EqualTo("nvmlInit_v2: Driver Not Loaded (9)"));
        Assert.That(Calls(), Is.EqualTo(new[] { "init" }));
        _time.Advance(NvmlInventory.RetryAfter);
        Assert.That(gpus.Devices, Is.Empty);
        Assert.That(Calls(), Has.Length.EqualTo(2));
        Assert.That(_log, Has.Count.EqualTo(1));
        Build();
        _time.Advance(NvmlInventory.RetryAfter);
        Assert.That(gpus.Devices, Has.Count.EqualTo(2), "the driver was loaded later");
        Assert.That(gpus.Problem, Is.Null);
    }

    [Test]
    public void The_hosts_links_are_followed_to_a_loadable_library()
    {
        var library = Build();
        Directory.CreateDirectory($"{_folder}/usr/lib/x86_64-linux-gnu");
        Directory.CreateDirectory($"{_folder}/usr/lib64");
        Directory.CreateDirectory($"{_folder}/usr/lib");
        Directory.CreateDirectory($"{_folder}/usr/local/nvidia/lib64");
        File.WriteAllText($"{_folder}/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", "not a library");
        File.CreateSymbolicLink($"{_folder}/usr/lib64/libnvidia-ml.so.1", "/usr/nowhere/libnvidia-ml.so.1");
        File.CreateSymbolicLink($"{_folder}/usr/lib/libnvidia-ml.so.1", "/usr/local/nvidia/lib64/libnvidia-ml.so");
        File.CreateSymbolicLink($"{_folder}/usr/local/nvidia/lib64/libnvidia-ml.so", "libnvidia-ml.so.580");
        File.Move(library, $"{_folder}/usr/local/nvidia/lib64/libnvidia-ml.so.580");
        var gpus = new NvmlInventory(
            new PluginSettings { Driver = $"{_folder}/usr" },
            new NoNodes(),
            _time,
            new ListLogger<NvmlInventory>(_log)
        );
        Assert.That(gpus.Devices, Has.Count.EqualTo(2), gpus.Problem);
    }

    [TestCase("NO_INIT")]
    public void A_library_that_is_not_nvml_is_a_problem(string define) =>
        Assert.That(Over(Build(define)).Problem, Does.Contain("nvmlInit_v2"));

    [Test]
    public void No_library_and_no_elf_file_are_problems()
    {
        var path = Path.Combine(_folder, "text.so");
        File.WriteAllText(path, "not a library");
        foreach (var library in new[] { path, "/nowhere/libnvidia-ml.so.1" })
        {
            var gpus = Over(library);
            Assert.That(gpus.Devices, Is.Empty);
            Assert.That(gpus.Problem, Is.Not.Empty);
        }
    }

    /// <summary>The folder of the simulated driver, made to find two devices.</summary>
    string MakeSimulation()
    {
        var root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "RunaiPlugin.sln")))
            root = Path.GetDirectoryName(root)!;
        Assert.That(
            Sh.Run($"make --no-print-directory -C {root}/tests/sim BUILD={root}/build all >/dev/null").Code,
            Is.Zero,
            "make -C tests/sim"
        );
        Assert.That(
            Sh.Run($"{root}/build/sim/simgpu create {_folder}/gpus --gpus 2 --total 10989m --reserved 100m >/dev/null"),
            Is.EqualTo((0, ""))
        );
        Assert.That(SetEnvironment("SIMGPU_DIR", $"{_folder}/gpus", 1), Is.Zero);
        return $"{root}/build/sim";
    }

    [Test]
    public void The_simulated_gpu_is_read_as_a_real_one()
    {
        var gpus = Over($"{MakeSimulation()}/libnvidia-ml.so.1").Devices;
        Assert.That(
            gpus.Select(gpu => (gpu.Index, gpu.TotalBytes >> 20, gpu.ReservedBytes >> 20)),
            Is.EqualTo(new[] { (0, 10989L, 100L), (1, 10989L, 100L) })
        );
        Assert.That(gpus.Select(gpu => gpu.Uuid), Is.Unique.And.All.StartsWith("GPU-"));
    }

    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    public void Processes_are_listed_by_any_version_of_the_call(int version)
    {
        var use = new NvmlUse(
            new PluginSettings { NvmlLibrary = Build($"LISTS={version}") },
            new NoNodes(),
            _time
        ).Read();
        Assert.That(
            use.Where(process => process.Uuid == "GPU-1"),
            Is.EqualTo(new[] { new GpuProcess(10, "GPU-1", 501) }),
            "the larger of two figures, and none of what has none"
        );
        Assert.That(use.Count(process => process.Uuid == "GPU-2"), Is.EqualTo(299));
    }

    [TestCase("LISTS=0")]
    [TestCase("INIT=9")]
    [TestCase("FIRST=15")]
    public void Without_an_answer_of_NVML_there_are_no_processes(string define) =>
        Assert.That(
            new NvmlUse(new PluginSettings { NvmlLibrary = Build(define) }, new NoNodes(), _time)
                .Read()
                .Where(process => process.Uuid == "GPU-1"),
            Is.Empty
        );

    [Test]
    public void Processes_of_the_simulated_gpu_are_listed()
    {
        var sim = MakeSimulation();
        using var process = Process.Start(
            new ProcessStartInfo($"{sim}/gpu-alloc", ["--hold", "60", "100m"])
            {
                RedirectStandardOutput = true,
                Environment = { ["SIMGPU_DIR"] = $"{_folder}/gpus", ["LD_LIBRARY_PATH"] = sim },
            }
        )!;
        try
        {
            Assert.That(process.StandardOutput.ReadLine(), Does.StartWith("allocated 100 MiB"));
            var use = new NvmlUse(
                new PluginSettings { NvmlLibrary = $"{sim}/libnvidia-ml.so.1" },
                new NoNodes(),
                _time
            ).Read();
            Assert.That(use.Select(one => one.Pid), Is.EqualTo(new[] { process.Id }));
            Assert.That(use[0].Bytes >> 20, Is.InRange(100, 1000), "with its context");
            Assert.That(Sh.Run($"{sim}/simgpu set {_folder}/gpus --gpu 0 --busy 37"), Is.EqualTo((0, "")));
            var readings = new NvmlUse(
                new PluginSettings { NvmlLibrary = $"{sim}/libnvidia-ml.so.1" },
                new NoNodes(),
                _time
            ).ReadAll();
            Assert.That(readings[0].UsedBytes, Is.EqualTo(use[0].Bytes));
            Assert.That(readings[0].Percents, Is.EqualTo(new Dictionary<int, int> { [process.Id] = 37 }));
            Assert.That(readings[1].Percents, Is.Empty);
        }
        finally
        {
            process.Kill();
        }
    }

    [Test]
    public void A_reading_has_use_and_load_by_process()
    {
        var readings = new NvmlUse(
            new PluginSettings { NvmlLibrary = Build("BUSY=0") },
            new NoNodes(),
            _time
        ).ReadAll();
        Assert.That(
            readings.Select(gpu => (gpu.Uuid, gpu.UsedBytes)),
            Is.EqualTo(new[] { ("GPU-1", 100L), ("GPU-2", 100L) })
        );
        Assert.That(readings[0].Processes, Is.EqualTo(new[] { new GpuProcess(10, "GPU-1", 501) }));
        Assert.That(readings[0].Percents, Is.EqualTo(new Dictionary<int, int> { [10] = 40, [11] = 41 }));
        Assert.That(readings[1].Percents, Has.Count.EqualTo(300));
    }

    [TestCase("NO_BUSY", null)]
    [TestCase("BUSY=3", null, Description = "not supported: MIG")]
    [TestCase("BUSY=6", 0, Description = "not found: nobody was busy")]
    public void Without_the_drivers_word_the_load_is_unknown(string define, int? count) =>
        Assert.That(
            new NvmlUse(new PluginSettings { NvmlLibrary = Build(define) }, new NoNodes(), _time)
                .ReadAll()[0]
                .Percents?.Count,
            Is.EqualTo(count)
        );

    [TestCase("LISTS=0")]
    [TestCase("V1=3", "NO_V2")]
    public void What_a_driver_does_not_say_hides_nothing_else(params string[] defines)
    {
        var reading = new NvmlUse(new PluginSettings { NvmlLibrary = Build(defines) }, new NoNodes(), _time).ReadAll()[
            0
        ];
        Assert.That(
            (reading.Processes is null, reading.UsedBytes is null),
            Is.EqualTo((defines.Length == 1, defines.Length == 2))
        );
    }

    // .NET's own does not reach libraries.
    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
