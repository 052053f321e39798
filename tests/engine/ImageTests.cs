// SPDX-License-Identifier: Apache-2.0
using System.Text.RegularExpressions;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>Containers of other systems: older and newer C libraries, 32-bit programs, programs that no preload
/// reaches.</summary>
[TestFixture(Engines.Newest)]
sealed partial class ImageTests(string version) : EngineFixture(version)
{
    static readonly string[] Suites = ["bullseye", "trixie", "sid"];
    static readonly string[] Images32 = [.. Suites.Select(suite => suite + "-i386")];
    static readonly string[] Quota = ["-v", "runai:/runai", "--label", "gpu-memory=0.3"];
    const string Preload = "/etc/ld.so.preload";
    static readonly string[] NoLibc = ["/static", "/musl"];

    protected override TestEngine Create(string version) => new(version, flags: "--debug");

    [OneTimeSetUp]
    public void Import()
    {
        var folder = Path.Combine(Repository.Build, "images");
        foreach (
            var output in Suites
                .AsParallel()
                .Select(suite => Shell.Run(Repository.Script("suite-images.sh"), suite, folder))
                .ToArray()
        )
            output.Ok();
        foreach (var image in Suites.Concat(Images32))
            Engine.Docker("import", Path.Combine(folder, image + ".tar"), image).Ok();
        Shell
            .Run(
                "sh",
                "-ec",
                """
                rm -rf "$1/no-libc" && mkdir -p "$1/no-libc/lib"
                gcc -static -O1 -o "$1/no-libc/static" "$0/guest/hello.c"
                musl-gcc -O1 -o "$1/no-libc/musl" "$0/guest/hello.c"
                cp -L /lib/ld-musl-x86_64.so.1 "$1/no-libc/lib/"
                tar -C "$1/no-libc" -cf "$1/no-libc.tar" .
                """,
                Repository.Script(""),
                folder
            )
            .Ok();
        Engine.Docker("import", Path.Combine(folder, "no-libc.tar"), "no-libc").Ok();
    }

    [TestCaseSource(nameof(Suites))]
    [TestCaseSource(nameof(Images32))]
    public void Programs_of_other_systems_have_the_quota(string image)
    {
        var container = Engine.Start([.. Quota, image, "sleep", "600"]);
        Assert.That(Engine.Smi(container).Total, Is.EqualTo(3296), "docker exec");
        Assert.That(Engine.Smi(container, "env", "-i").Total, Is.EqualTo(3296), "env -i");
        var beyond = Engine.Docker("exec", container, "env", "-i", "gpu-alloc", "2g", "2g");
        Assert.That(beyond.Code, Is.EqualTo(2), beyond.All);
        Assert.That(beyond.All, Does.Contain("allocated 2048 MiB").And.Contain("CUDA_ERROR_OUT_OF_MEMORY"));
    }

    [Test]
    public void The_oldest_image_has_glibc_of_2020() =>
        Assert.That(
            Engine.Run(["--rm", .. Quota, "bullseye", "busybox", "readlink", "/lib/x86_64-linux-gnu/libc.so.6"]).Ok(),
            Is.EqualTo("libc-2.31.so")
        );

    [TestCaseSource(nameof(Suites))]
    [TestCaseSource(nameof(Images32))]
    public void No_program_complains_about_the_preload(string image)
    {
        var container = Engine.Start([.. Quota, image, "sleep", "600"]);
        foreach (
            var shell in image.EndsWith("-i386", StringComparison.Ordinal)
                ? (string[])["busybox", "busybox32"]
                : ["busybox"]
        )
        {
            var output = Engine.Docker("exec", container, "env", "-i", shell, "echo", "hello");
            Assert.That((output.Code, output.Out, output.Error), Is.EqualTo((0, "hello\n", "")), shell);
        }
    }

    [TestCaseSource(nameof(Images32))]
    public void Only_32_bit_programs_get_an_empty_library(string image)
    {
        Assert.That(
            Engine.Run(["--rm", .. Quota, image, "busybox32", "cat", Preload, "/proc/self/maps"]).Ok(),
            Does.StartWith("/runai/quiet/$PLATFORM\n/runai/librunai.so\n")
                .And.Contain("/runai/quiet/i686")
                .And.Not.Contain("\t/runai/librunai.so")
                .And.Not.Contain(" /runai/librunai.so")
        );
        Assert.That(
            Engine.Run(["--rm", .. Quota, image.Replace("-i386", "", StringComparison.Ordinal), "cat", Preload]).Ok(),
            Is.EqualTo("/runai/librunai.so")
        );
    }

    [Test]
    public void At_another_target_the_quota_holds_all_the_same()
    {
        var container = Engine.Start([
            "-v",
            "runai:/opt/quota",
            "--label",
            "gpu-memory=0.3",
            "trixie-i386",
            "sleep",
            "600",
        ]);
        Assert.That(Engine.Smi(container).Total, Is.EqualTo(3296));
        Assert.That(
            Engine.Docker("exec", container, "busybox32", "echo", "hello").Error,
            Does.Contain("wrong ELF class")
        );
    }

    [Test]
    public void A_restarted_or_committed_container_stays_quiet_and_limited()
    {
        var container = Engine
            .Docker([
                "create",
                "--network",
                "none",
                "--gpus",
                "1",
                .. Quota,
                "trixie-i386",
                "busybox32",
                "cat",
                Preload,
            ])
            .Ok();
        foreach (var _ in (string[])["first", "again"])
        {
            var output = Engine.Docker("start", "-a", container);
            Assert.That((output.Out, output.Error), Is.EqualTo(("/runai/quiet/$PLATFORM\n/runai/librunai.so\n", "")));
        }
        Engine.Docker("commit", container, "committed").Ok();
        var committed = Engine.Run(["--rm", .. Quota, "committed", "busybox32", "cat", Preload]);
        Assert.That((committed.Out, committed.Error), Is.EqualTo(("/runai/quiet/$PLATFORM\n/runai/librunai.so\n", "")));
        Assert.That(
            Engine.Run(["--rm", "-v", "runai:/gpu", "--label", "gpu-memory=0.3", "committed", "cat", Preload]).Ok(),
            Is.EqualTo("/gpu/librunai.so")
        );
    }

    [Test]
    public void LD_PRELOAD_keeps_a_read_only_container_quiet()
    {
        string[] preload = ["--read-only", "-e", "LD_PRELOAD=/runai/quiet/$PLATFORM:/runai/librunai.so"];
        var output = Engine.Run(["--rm", .. preload, .. Quota, "trixie-i386", "busybox32", "echo", "hello"]);
        Assert.That((output.Code, output.Out, output.Error), Is.EqualTo((0, "hello\n", "")));
        Assert.That(
            ParseSmi(Engine.Run(["--rm", .. preload, .. Quota, "trixie-i386", .. SmiQuery]).Ok()).Total,
            Is.EqualTo(3296)
        );
    }

    [TestCaseSource(nameof(NoLibc))]
    public void A_static_program_is_left_alone(string program)
    {
        var run = Engine.Run(["--rm", .. Quota, "no-libc", program]);
        Assert.That((run.Code, run.Out, run.Error), Is.EqualTo((0, "hello\n", "")));
        var container = Engine.Start([.. Quota, "no-libc", program, "stay"]);
        var exec = Engine.Docker("exec", container, program);
        Assert.That((exec.Code, exec.Out, exec.Error), Is.EqualTo((0, "hello\n", "")));
    }

    [Test]
    public void The_second_container_of_an_image_costs_one_archive_call()
    {
        Engine.Docker("import", "-c", "LABEL gpu-memory=0.3", Repository.Image, "fresh").Ok();
        // Its ld.so.preload; whether it has Nix, a 32-bit loader, a /runai that is no link, and an /etc that all may
        // enter; the file.
        Assert.That(ArchiveCalls("-v", "runai:/runai"), Is.EqualTo("GET HEAD HEAD HEAD HEAD PUT"));
        Assert.That(ArchiveCalls("-v", "runai:/runai"), Is.EqualTo("PUT"));
        Assert.That(ArchiveCalls("-v", "runai:/runai", "-v", "data:/data"), Does.StartWith("GET "));
        Assert.That(ArchiveCalls("-v", "runai:/runai", "-v", "data:/data"), Is.EqualTo("PUT"));
        Assert.That(
            ParseSmi(Engine.Run(["--rm", "-v", "runai:/runai", "fresh", .. SmiQuery]).Ok()).Total,
            Is.EqualTo(3296)
        );
    }

    [Test]
    public void A_preload_copied_into_a_container_affects_no_other()
    {
        Engine.Docker(["create", .. Quota, "trixie", "true"]).Ok();
        var container = Engine.Docker(["create", .. Quota, "trixie", "cat", Preload]).Ok();
        var file = Path.GetTempFileName();
        File.WriteAllText(file, "# copied\n");
        Engine.Docker("cp", file, $"{container}:{Preload}").Ok();
        Assert.That(Engine.Docker("start", "-a", container).Ok(), Is.EqualTo("# copied\n/runai/librunai.so"));
        Assert.That(Engine.Run(["--rm", .. Quota, "trixie", "cat", Preload]).Ok(), Is.EqualTo("/runai/librunai.so"));
    }

    [Test]
    public void A_mount_linked_into_etc_keeps_its_own_preload()
    {
        var folder = MakeLinked("etc");
        foreach (var own in (string[])["first", "second"])
        {
            var mine = Directory.CreateDirectory(Path.Combine(folder, own)).FullName;
            File.WriteAllText(Path.Combine(mine, "ld.so.preload"), $"# {own}\n");
            Assert.That(
                Engine.Run(["--rm", .. Quota, "-v", $"{mine}:/link", "linked", "cat", Preload]).Ok(),
                Is.EqualTo($"# {own}\n/runai/librunai.so")
            );
        }
    }

    /// <summary>Some engines cannot copy files into such a container.</summary>
    [Test]
    public void A_refused_preload_names_a_working_remedy()
    {
        string[] mount = ["-v", $"{MakeLinked("/run")}:/link/x"];
        var plain = Engine.Run(["--rm", .. Quota, .. mount, "linked", .. SmiQuery]);
        if (plain.Code == 0)
            Assert.That(ParseSmi(plain.Out).Total, Is.EqualTo(3296));
        else
            Assert.That(
                plain.Error,
                Does.Contain("denied by plugin").And.Contain("or -e LD_PRELOAD=/runai/librunai.so")
            );
        Assert.That(
            ParseSmi(
                Engine
                    .Run(["--rm", "-e", "LD_PRELOAD=/runai/librunai.so", .. Quota, .. mount, "linked", .. SmiQuery])
                    .Ok()
            ).Total,
            Is.EqualTo(3296)
        );
    }

    /// <summary>The image <c>linked</c>, whose /link leads there; a new folder of the host.</summary>
    string MakeLinked(string target)
    {
        var folder = Directory.CreateTempSubdirectory("linked-").FullName;
        File.CreateSymbolicLink(Path.Combine(folder, "link"), target);
        var container = Engine.Docker("create", "trixie", "true").Ok();
        Engine.Docker("cp", Path.Combine(folder, "link"), $"{container}:/link").Ok();
        Engine.Docker("commit", container, "linked").Ok();
        return folder;
    }

    /// <summary>What the engine was asked about a new container's files.</summary>
    string ArchiveCalls(params string[] options)
    {
        var container = Engine.Docker(["create", .. options, "fresh", "true"]).Ok();
        return string.Join(
            ' ',
            ArchiveCall()
                .Matches(Engine.Log)
                .Where(m => m.Groups["id"].Value == container)
                .Select(m => m.Groups["method"].Value)
        );
    }

    [GeneratedRegex("msg=\"handling (?<method>GET|HEAD|PUT) request\".*/containers/(?<id>[0-9a-f]{64})/archive")]
    private static partial Regex ArchiveCall();
}
