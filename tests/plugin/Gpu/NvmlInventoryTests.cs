using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using NUnit.Framework;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Tests.Reconciliation;
using Runai.GpuMemory.Tests.Volumes;

namespace Runai.GpuMemory.Tests.Gpu;

/// <summary>Real shared libraries in the place of NVML: the simulated GPU's, and small ones with this or that fault.</summary>
public partial class NvmlInventoryTests
{
    string _folder = null!;
    ConcurrentQueue<string> _log = null!;
    ManualTime _time = null!;

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
        File.WriteAllText(source, """
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
            struct v1 { unsigned long long total, free, used; };
            int nvmlDeviceGetMemoryInfo(void *d, struct v1 *m) { m->total = 1000; m->free = 900; m->used = 100; return V1; }
            #ifndef NO_V2
            struct v2 { unsigned version; unsigned long long total, reserved, free, used; };
            int nvmlDeviceGetMemoryInfo_v2(void *d, struct v2 *m) {
                if (m->version != (sizeof(*m) | 2u << 24)) return 25;
                m->total = 1000; m->reserved = 50; m->free = 850; m->used = 100; return 0;
            }
            #endif
            """);
        string[] values = ["INIT=0", "FIRST=0", "V1=0"];
        var all = values.Where(value => !defines.Any(define => define.Split('=')[0] == value.Split('=')[0])).Concat(defines).Append($"CALLS=\\\"{_folder}/calls\\\"");
        Assert.That(Sh.Run($"gcc -shared -fPIC -w {string.Join(' ', all.Select(one => "-D" + one))} -o {library} {source}"), Is.EqualTo((0, "")));
        return library;
    }

    string[] Calls() => File.Exists($"{_folder}/calls") ? File.ReadAllLines($"{_folder}/calls") : [];

    [Test]
    public void All_gpus_are_listed_with_what_is_reserved_and_nvml_is_closed_again()
    {
        var gpus = Over(Build());
        Assert.That(gpus.Devices, Is.EqualTo(new[] { new GpuDevice(0, "GPU-1", "Test GPU", 1000, 50), new GpuDevice(1, "GPU-2", "Test GPU", 1000, 50) }));
        Assert.That(gpus.Problem, Is.Null);
        Assert.That(Calls(), Is.EqualTo(new[] { "init", "shutdown" }), "once, however often it is asked");
        Assert.That(File.ReadAllText("/proc/self/maps"), Does.Not.Contain(_folder), "and unloaded");
    }

    [Test]
    public void An_older_driver_does_not_tell_what_is_reserved() =>
        Assert.That(Over(Build("NO_V2")).Devices.Select(gpu => (gpu.TotalBytes, gpu.ReservedBytes)), Is.All.EqualTo((1000L, 0L)));

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
    public void What_is_missing_is_said_once_and_asked_for_again_after_a_while()
    {
        var gpus = Over(Build("INIT=9"));
        for (var n = 0; n < 5; n++) Assert.That(gpus.Devices, Is.Empty);
        Assert.That(gpus.Problem, Is.EqualTo("nvmlInit_v2: Driver Not Loaded (9)"));
        Assert.That(Calls(), Is.EqualTo(new[] { "init" }));
        _time.Pass(NvmlInventory.RetryAfter);
        Assert.That(gpus.Devices, Is.Empty);
        Assert.That(Calls(), Has.Length.EqualTo(2));
        Assert.That(_log, Has.Count.EqualTo(1));
        Build();
        _time.Pass(NvmlInventory.RetryAfter);
        Assert.That(gpus.Devices, Has.Count.EqualTo(2), "the driver was loaded later");
        Assert.That(gpus.Problem, Is.Null);
    }

    [Test]
    public void A_link_to_a_path_of_the_host_is_followed_and_what_does_not_load_is_passed_over()
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
        var gpus = new NvmlInventory(new PluginSettings { Driver = $"{_folder}/usr" }, new NoNodes(), _time, new ListLogger<NvmlInventory>(_log));
        Assert.That(gpus.Devices, Has.Count.EqualTo(2), gpus.Problem);
    }

    [TestCase("NO_INIT")]
    public void A_library_that_is_not_nvml_is_a_problem(string define) => Assert.That(Over(Build(define)).Problem, Does.Contain("nvmlInit_v2"));

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

    [Test]
    public void The_simulated_gpu_is_read_as_a_real_one()
    {
        var root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "RunaiPlugin.sln"))) root = Path.GetDirectoryName(root)!;
        Assert.That(Sh.Run($"make --no-print-directory -C {root}/tests/sim BUILD={root}/build all >/dev/null").Code, Is.Zero, "make -C tests/sim");
        Assert.That(Sh.Run($"{root}/build/sim/simgpu create {_folder}/gpus --gpus 2 --total 10989m --reserved 100m >/dev/null"), Is.EqualTo((0, "")));
        Assert.That(SetEnvironment("SIMGPU_DIR", $"{_folder}/gpus", 1), Is.Zero);
        var gpus = Over($"{root}/build/sim/libnvidia-ml.so.1").Devices;
        Assert.That(gpus.Select(gpu => (gpu.Index, gpu.TotalBytes >> 20, gpu.ReservedBytes >> 20)), Is.EqualTo(new[] { (0, 10989L, 100L), (1, 10989L, 100L) }));
        Assert.That(gpus.Select(gpu => gpu.Uuid), Is.Unique.And.All.StartsWith("GPU-"));
    }

    // .NET's own does not reach libraries.
    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
