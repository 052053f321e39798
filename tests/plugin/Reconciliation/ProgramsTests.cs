// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;
using Runai.GpuMemory.Reconciliation;

namespace Runai.GpuMemory.Tests.Reconciliation;

sealed class ProgramsTests
{
    const string Main = "55d0c8a00000-55d0c8a02000 r--p 00000000 00:3b 77 /usr/bin/python3.11\n";
    const string Ld =
        "7f0c5d300000-7f0c5d301000 r--p 00000000 00:3b 9 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2\n";
    static readonly ProcPrograms.Loader Loader = new(0x7f0c5d300000, IsProgram: false);
    const string Stack =
        "7ffd1b0a1000-7ffd1b0c2000 rw-p 00000000 00:00 0 [stack]\n7ffd1b0d0000-7ffd1b0d2000 r-xp 00000000 "
        + "00:00 0 [vdso]\n";

    static bool IsWithout(string maps, ProcPrograms.Loader? loader = null) =>
        ProcPrograms.KindOf(new StringReader(maps), loader ?? Loader) == ProgramKind.WithoutShim;

    static string Maps(params string[] files) =>
        Main
        + Ld
        + string.Concat(
            files.Select(file => $"7f0c5d228000-7f0c5d24e000 r-xp 00000000 00:3b 1048                       {file}\n")
        )
        + Stack;

    [TestCase(true, "/usr/lib/x86_64-linux-gnu/libc.so.6")]
    [TestCase(true, "/lib/x86_64-linux-gnu/libc-2.31.so")]
    [TestCase(true, "/nix/store/abc-glibc-2.38/lib/libc.so.6 (deleted)")]
    [TestCase(true, "/usr/lib/libcuda.so.1", "/usr/lib/libc.so.6", "/tmp/librunai.so.old")]
    [TestCase(false, "/usr/lib/libc.so.6", "/runai/librunai.so")]
    [TestCase(false, "/runai/librunai.so", "/usr/lib/libc.so.6")]
    [TestCase(false, "/opt/my quota/librunai.so (deleted)", "/usr/lib/libc.so.6")]
    [TestCase(false, "/lib/ld-musl-x86_64.so.1", "/usr/lib/libc++.so.1")]
    [TestCase(false, "/usr/lib/ld-linux-x86-64.so.2")]
    [TestCase(false)]
    public void Only_a_glibc_program_without_shim_is_reported(bool isWithout, params string[] files) =>
        Assert.That(IsWithout(Maps(files)), Is.EqualTo(isWithout));

    [Test]
    public void A_32_bit_program_cannot_load_the_shim() =>
        Assert.That(
            IsWithout(
                "56555000-56556000 r--p 00000000 00:3b 77 /bin/x\nf7d00000-f7d20000 r--p 00000000 00:3b 5 "
                    + "/lib/i386-linux-gnu/libc.so.6\n"
                    + Ld
            ),
            Is.False
        );

    [Test]
    public void A_C_library_mapped_as_data_does_not_count() =>
        Assert.That(IsWithout(Maps("/usr/lib/libc.so.6").Replace("r-xp", "r--p", StringComparison.Ordinal)), Is.False);

    /// <summary>A static program has nothing that reads ld.so.preload, whatever it loads later.</summary>
    [TestCase("/opt/static", true, false)]
    [TestCase(
        "/usr/lib64/ld-linux-x86-64.so.2",
        true,
        true,
        Description = "a loader that was called with a program's name"
    )]
    [TestCase("/usr/lib64/ld-2.31.so", true, true)]
    [TestCase("/usr/lib64/ld-linux-x86-64.so.2", false, true)]
    [TestCase("/opt/loader of my own", false, true)]
    [TestCase("/lib/ld-musl-x86_64.so.1", false, false)]
    public void Only_a_loader_of_glibc_preloads(string file, bool isProgram, bool isWithout) =>
        Assert.That(
            IsWithout(
                Maps("/usr/lib/libc.so.6")
                    .Replace("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", file, StringComparison.Ordinal),
                Loader with
                {
                    IsProgram = isProgram,
                }
            ),
            Is.EqualTo(isWithout)
        );

    [TestCase("/opt/static", true)]
    [TestCase("/lib/ld-musl-x86_64.so.1", false)]
    [TestCase("/lib/ld-musl-x86_64.so.1", true, Description = "called with a program's name")]
    public void Static_programs_and_those_of_musl_are_not_reached(string file, bool isProgram)
    {
        var maps = Maps().Replace("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", file, StringComparison.Ordinal);
        var loader = Loader with { IsProgram = isProgram };
        Assert.That(ProcPrograms.KindOf(new StringReader(maps), loader), Is.EqualTo(ProgramKind.Unreached));
        Assert.That(
            ProcPrograms.KindOf(new StringReader(maps), loader with { Address = 0 }),
            Is.EqualTo(ProgramKind.Unknown),
            "the kernel did not say"
        );
    }

    /// <summary>An init is often static.</summary>
    [TestCase("exec SLEEPER", true)]
    [TestCase("SLEEPER & wait", false)]
    public async Task Unreached_is_who_has_only_such_programs(string script, bool isUnreached)
    {
        var folder = Directory.CreateTempSubdirectory("programs").FullName;
        var sleeper = Path.Combine(folder, "sleeper");
        Assert.That(
            Tests.Volumes.Sh.Run(
                $"echo '#include <unistd.h>\nint main(void) {{ pause(); }}' | gcc -static -x c -o {sleeper} -"
            ),
            Is.EqualTo((0, ""))
        );
        File.Copy("/lib/x86_64-linux-gnu/libm.so.6", Path.Combine(folder, "librunai.so"));
        var start = new ProcessStartInfo(
            "/bin/sh",
            ["-c", script.Replace("SLEEPER", sleeper, StringComparison.Ordinal)]
        );
        start.Environment["LD_PRELOAD"] = Path.Combine(folder, "librunai.so");
        using var shell = Process.Start(start)!;
        try
        {
            await Until(() => Comms(shell.Id).Contains("sleeper"));
            Assert.That(
                new ProcPrograms(NullLogger<ProcPrograms>.Instance).Look(shell.Id),
                Is.EqualTo(new ProgramsSeen(null, isUnreached ? sleeper : null))
            );
        }
        finally
        {
            shell.Kill(entireProcessTree: true);
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public void The_auxiliary_vector_names_the_loader()
    {
        static byte[] Auxv(params ulong[] words) => [.. words.SelectMany(BitConverter.GetBytes)];
        Assert.That(
            ProcPrograms.LoaderIn(Auxv(3, 1, 7, 0x7000, 9, 0x4000, 0, 0)),
            Is.EqualTo(new ProcPrograms.Loader(0x7000, false))
        );
        Assert.That(
            ProcPrograms.LoaderIn(Auxv(3, 1, 7, 0, 9, 0x4000, 0, 0)),
            Is.EqualTo(new ProcPrograms.Loader(0x4000, true))
        );
        Assert.That(ProcPrograms.LoaderIn([]), Is.EqualTo(new ProcPrograms.Loader(0, true)));
        Assert.That(
            ProcPrograms.LoaderIn(Auxv(7, 0x7000).AsSpan(0, 15)),
            Is.EqualTo(new ProcPrograms.Loader(0, true)),
            "cut"
        );
    }

    [Test]
    public void Endless_maps_say_nothing()
    {
        var line = Maps("/usr/lib/libc.so.6");
        Assert.That(IsWithout(line + string.Concat(Enumerable.Repeat(Main, 1000))), Is.True);
        Assert.That(
            IsWithout(line + string.Concat(Enumerable.Repeat(Main, (16 << 20) / (Main.Length - 1) + 1))),
            Is.False
        );
    }

    /// <summary>A library by the shim's name does for it.</summary>
    [TestCase("exec sleep 60", "", false)]
    [TestCase("sleep 60 & wait", "", false)]
    [TestCase("env -u LD_PRELOAD sleep 60 & wait", "sleep", true)]
    [TestCase("unset LD_PRELOAD; exec sleep 60", "sleep", true)]
    public Task Child_processes_are_looked_at(string script, string program, bool isWithout) =>
        RunAsync(script, 1, program, isWithout);

    [TestCase(ProcPrograms.MaxProcesses, true)]
    [TestCase(ProcPrograms.MaxProcesses + 1, false)]
    public Task The_number_of_child_processes_is_bounded(int processes, bool isWithout) =>
        RunAsync(
            $"for n in $(seq {processes - 2}); do sleep 60 & done; env -u LD_PRELOAD sleep 60 & wait",
            processes - 1,
            isWithout ? "sleep" : "",
            isWithout
        );

    static async Task RunAsync(string script, int sleeping, string program, bool isWithout)
    {
        var folder = Directory.CreateTempSubdirectory("programs").FullName;
        File.Copy("/lib/x86_64-linux-gnu/libm.so.6", Path.Combine(folder, "librunai.so"));
        var start = new ProcessStartInfo("/bin/sh", ["-c", script]);
        start.Environment["LD_PRELOAD"] = Path.Combine(folder, "librunai.so");
        using var shell = Process.Start(start)!;
        try
        {
            await Until(() => Comms(shell.Id).Count(name => name == "sleep") == sleeping);
            // The name is there a little before the libraries are.
            string? found = null;
            for (
                var n = 0;
                n < 100
                    && (found = new ProcPrograms(NullLogger<ProcPrograms>.Instance).Look(shell.Id).WithoutShim) is null
                        == isWithout;
                n++
            )
                await Task.Delay(20);
            Assert.That(
                found is null ? "" : Path.GetFileName(found),
                isWithout ? Is.EqualTo(program).Or.EqualTo("coreutils") : Is.Empty
            );
        }
        finally
        {
            shell.Kill(entireProcessTree: true);
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>A program whose main function ends its thread only, as one in C may.</summary>
    [Test]
    public async Task A_program_without_its_first_thread_is_seen()
    {
        var start = new ProcessStartInfo("/usr/bin/python3", ["-c", Tests.Volumes.FakeContainer.Zombie])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        using var program = Process.Start(start)!;
        Assert.That(program.StandardOutput.ReadLine(), Is.EqualTo("ready"));
        await Until(() => File.ReadAllText($"/proc/{program.Id}/stat").Contains(") Z ", StringComparison.Ordinal));
        Assert.That(File.ReadAllText($"/proc/{program.Id}/maps"), Is.Empty, "what this is about");
        Assert.That(
            Path.GetFileName(new ProcPrograms(NullLogger<ProcPrograms>.Instance).Look(program.Id).WithoutShim),
            Does.StartWith("python3")
        );
        program.StandardInput.Close();
        await program.WaitForExitAsync();
    }

    [Test]
    public void A_process_that_has_ended_has_nothing() =>
        Assert.That(
            new ProcPrograms(NullLogger<ProcPrograms>.Instance).Look(int.MaxValue),
            Is.EqualTo(default(ProgramsSeen))
        );

    static string[] Comms(int pid)
    {
        IEnumerable<string> pids = File.ReadAllText($"/proc/{pid}/task/{pid}/children")
            .Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Prepend($"{pid}");
        return [.. pids.Select(one => File.ReadAllText($"/proc/{one}/comm").Trim())];
    }

    static async Task Until(Func<bool> condition)
    {
        var watch = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                if (condition())
                    return;
            }
            catch (IOException) { }
            Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(10)));
            await Task.Delay(10);
        }
    }
}
