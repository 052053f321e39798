// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.EngineTests.Policy;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>The quota reaches every program of the container that asked for it.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class DeliveryTests(string version) : EngineFixture(version)
{
    static readonly string[] Quota = ["-v", "runai:/runai", "--label", "gpu-memory=0.3"];

    [Test]
    public void Without_a_quota_a_container_sees_the_whole_GPU() =>
        Assert.That(ParseSmi(Engine.Run(["--rm", Image, .. SmiQuery]).Ok()).Total, Is.EqualTo(TotalMiB));

    [TestCase("0.3", 3296)]
    [TestCase(".5", 5494)]
    [TestCase("1", 10989)]
    [TestCase("3g", 3072)]
    [TestCase("1.5GiB", 1536)]
    [TestCase("512m", 512)]
    public void A_label_is_the_size_that_nvidia_smi_shows(string value, int mebibytes) =>
        Assert.That(
            ParseSmi(
                Engine.Run(["--rm", "-v", "runai:/runai", "--label", $"gpu-memory={value}", Image, .. SmiQuery]).Ok()
            ),
            Is.EqualTo((mebibytes, 0))
        );

    [Test]
    public void Only_allocations_beyond_the_quota_are_refused()
    {
        var output = Engine.Run(["--rm", .. Quota, Image, "gpu-alloc", "2g", "2g"]);
        Assert.That(output.Code, Is.EqualTo(2), output.All);
        Assert.That(output.All, Does.Contain("allocated 2048 MiB").And.Contain("CUDA_ERROR_OUT_OF_MEMORY"));
    }

    /// <summary>Docker.DotNet's own models fail on it.</summary>
    [Test]
    public void A_huge_stop_timeout_keeps_the_quota()
    {
        var body = Body.Gpu.Volume().Quota("0.3").With("\"StopTimeout\":1000000000000");
        var id = Attempt.IdIn(Engine.Raw("POST", "/containers/create", body.Bytes).Body)!;
        Engine.Docker("start", id).Ok();
        Assert.That(Engine.Smi(id).Total, Is.EqualTo(3296));
        Assert.That(() => Engine.Api.Containers.InspectContainerAsync(id), Throws.Exception);
    }

    /// <summary>2^40: engines take it, and end when they count up to it at the start.</summary>
    [Test]
    public void No_number_of_GPUs_crashes_the_engine()
    {
        string[] vast = ["--gpus", "1099511627776", "-v", "runai:/runai", "--label", "gpu-memory=0.3", Image, "true"];
        Assert.That(
            Engine.Docker(["run", .. vast]).Error,
            Does.Contain("--gpus 1099511627776 is more than the 1024 GPUs")
        );
        Engine.AskNobody();
        var id = Engine.Docker(["create", .. vast]).Ok();
        Engine.Authorize();
        Assert.That(Engine.Docker("start", id).Error, Does.Contain("--gpus 1099511627776 is more than the 1024 GPUs"));
    }

    [Test]
    public void Twenty_containers_at_once_each_have_a_quota()
    {
        var sizes = Enumerable.Range(1, 20).Select(n => 100 * n).ToArray();
        var totals = sizes
            .AsParallel()
            .WithDegreeOfParallelism(20)
            .Select(size =>
                (
                    Asked: size,
                    Seen: ParseSmi(
                        Engine
                            .Run(["--rm", "-v", "runai:/runai", "--label", $"gpu-memory={size}m", Image, .. SmiQuery])
                            .Ok()
                    ).Total
                )
            )
            .ToArray();
        Assert.That(totals.Where(t => t.Asked != t.Seen), Is.Empty);
    }

    [Test]
    public void The_kernel_tells_the_plugin_that_a_container_began()
    {
        const string Line = "gpu-memory info 512: quota container=";
        // The engine's own event may win now and then.
        for (var run = 0; run < 20 && !Engine.Log.Contains(Line, StringComparison.Ordinal); run++)
            Engine.Run(["--rm", .. Quota, Image, "sleep", "0.2"]).Ok();
        Assert.That(Engine.Log, Does.Contain(Line));
    }

    [Test]
    public void A_stripped_environment_keeps_the_quota()
    {
        var container = Engine.Start([.. Quota, Image, "sleep", "600"]);
        Assert.That(Engine.Smi(container).Total, Is.EqualTo(3296), "docker exec");
        Assert.That(Engine.Smi(container, "env", "-i").Total, Is.EqualTo(3296), "env -i");
        Assert.That(
            Engine.Docker(["exec", "--user", "1000", container, .. SmiQuery]).Ok(),
            Does.StartWith("3296,"),
            "another user"
        );
    }

    [Test]
    public void A_setuid_program_keeps_the_quota_whatever_its_environment()
    {
        var container = Engine.Start([.. Quota, Image, "sleep", "600"]);
        Engine
            .Docker("exec", container, "sh", "-c", "cp /usr/bin/gpu-alloc /usr/bin/suid && chmod 4755 /usr/bin/suid")
            .Ok();
        Output Try(string program, string size) =>
            Engine.Docker(
                "exec",
                "--user",
                "1000",
                "--env",
                "RUNAI_LOG=1",
                "--env",
                "LD_PRELOAD=/nowhere.so",
                container,
                program,
                size
            );
        Assert.That(
            Try("gpu-alloc", "1g").Error,
            Does.Contain("runai["),
            "an ordinary program says what it is asked to"
        );
        var fits = Try("suid", "1g");
        Assert.That((fits.Code, fits.Error), Is.EqualTo((0, "")), "the loader and the shim ignore the environment");
        Assert.That(Try("suid", "4g").Code, Is.EqualTo(2));
        Engine.Docker("exec", "-d", "--user", "1000", container, "suid", "--hold", "600", "2g").Ok();
        Eventually(() => Engine.Smi(container) == (3296, 2048 + 64), "what it holds is in the same account");
        Assert.That((Try("gpu-alloc", "1100m").Code, Try("gpu-alloc", "1200m").Code), Is.EqualTo((0, 2)));
    }

    [Test]
    public void The_label_wins_over_the_quota_of_the_volume()
    {
        Engine.Docker("volume", "create", "-d", Plugin, "-o", "gpu-memory=0.5", "half").Ok();
        Assert.That(
            ParseSmi(Engine.Run(["--rm", "-v", "half:/runai", Image, .. SmiQuery]).Ok()).Total,
            Is.EqualTo(5494)
        );
        Assert.That(
            ParseSmi(
                Engine.Run(["--rm", "-v", "half:/runai", "--label", "gpu-memory=3g", Image, .. SmiQuery]).Ok()
            ).Total,
            Is.EqualTo(3072)
        );
        Engine.Docker("volume", "rm", "half").Ok();
    }

    [Test]
    public void The_volume_works_at_any_target() =>
        Assert.That(
            ParseSmi(
                Engine.Run(["--rm", "-v", "runai:/opt/quota", "--label", "gpu-memory=0.3", Image, .. SmiQuery]).Ok()
            ).Total,
            Is.EqualTo(3296)
        );

    [Test]
    public void The_long_form_of_the_volume_works_too() =>
        Assert.That(
            ParseSmi(
                Engine
                    .Run([
                        "--rm",
                        "--mount",
                        "type=volume,src=runai,dst=/runai",
                        "--label",
                        "gpu-memory=0.3",
                        Image,
                        .. SmiQuery,
                    ])
                    .Ok()
            ).Total,
            Is.EqualTo(3296)
        );

    [Test]
    public void An_image_can_ask_by_its_label()
    {
        Engine.Docker("import", "-c", "LABEL gpu-memory=0.25", Repository.Image, "labelled").Ok();
        Assert.That(
            ParseSmi(Engine.Run(["--rm", "-v", "runai:/runai", "labelled", .. SmiQuery]).Ok()).Total,
            Is.EqualTo(2747)
        );
        Assert.That(
            ParseSmi(
                Engine.Run(["--rm", "-v", "runai:/runai", "--label", "gpu-memory=0.5", "labelled", .. SmiQuery]).Ok()
            ).Total,
            Is.EqualTo(5494),
            "the container's own label wins"
        );
    }

    [Test]
    public void What_an_image_preloads_itself_stays_preloaded()
    {
        const string Own = "/usr/lib/x86_64-linux-gnu/libm.so.6";
        var container = Engine.Docker("create", Image, "true").Ok();
        var file = Path.GetTempFileName();
        File.WriteAllText(file, Own + "\n");
        Engine.Docker("cp", file, $"{container}:/etc/ld.so.preload").Ok();
        Engine.Docker("commit", container, "preloading").Ok();
        var maps = Engine.Run(["--rm", .. Quota, "preloading", "cat", "/etc/ld.so.preload", "/proc/self/maps"]).Ok();
        Assert.That(maps, Does.StartWith(Own + "\n/runai/librunai.so\n"));
        Assert.That(maps.Split('\n').Skip(2), Has.Some.Contains("/runai/librunai.so").And.Some.Contains("libm.so.6"));
        Assert.That(ParseSmi(Engine.Run(["--rm", .. Quota, "preloading", .. SmiQuery]).Ok()).Total, Is.EqualTo(3296));
    }

    /// <summary>The usual image after a command.</summary>
    string Changed(params string[] command)
    {
        Engine.Docker(["run", "--network", "none", "--name", "changed", Image, .. command]).Ok();
        var image = Engine.Docker("commit", "changed").Ok();
        Engine.Docker("rm", "changed").Ok();
        return image;
    }

    [Test]
    public void Programs_of_Nix_have_the_quota_too()
    {
        var nix = Changed("mkdir", "-p", "/nix/store");
        for (var time = 0; time < 2; time++)
            Assert.That(
                Engine.Run(["--rm", .. Quota, nix, "cat", "/etc/ld-nix.so.preload", "/etc/ld.so.preload"]).Ok(),
                Is.EqualTo("/runai/librunai.so\n/runai/librunai.so")
            );
        Assert.That(
            Engine.Run(["--rm", .. Quota, Image, "cat", "/etc/ld-nix.so.preload"]).Error,
            Does.Contain("No such file")
        );
    }

    /// <summary>A user without a group of his own has root's.</summary>
    [TestCase("750", "1000:1000")]
    [TestCase("705", "1000")]
    public void An_image_with_a_closed_etc_never_runs_unlimited(string mode, string user)
    {
        var closed = Changed("chmod", mode, "/etc");
        string[] other = ["--rm", "--user", user, .. Quota];
        Assert.That(
            Engine.Run([.. other, closed, .. SmiQuery]).All,
            Does.Contain(
                "/etc is closed to its owner, its group or others: RUN chmod a+x /etc in the image, or add -e "
                    + "LD_PRELOAD=/runai/librunai.so"
            )
        );
        Assert.That(
            ParseSmi(Engine.Run([.. other, "-e", "LD_PRELOAD=/runai/librunai.so", closed, .. SmiQuery]).Ok()).Total,
            Is.EqualTo(3296)
        );
        if (Engine.Major < 26)
            return;
        Assert.That(
            Engine
                .Run([
                    .. other,
                    "--mount",
                    "type=volume,src=runai,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload",
                    closed,
                    .. SmiQuery,
                ])
                .All,
            Does.Contain("/etc is closed to"),
            "by a mount"
        );
    }

    /// <summary>The loader ends at a NUL, takes a carriage return for a part of the name, and reads nothing that its
    /// user may not.</summary>
    [Test]
    public void A_misleading_preload_file_keeps_the_limit()
    {
        foreach (
            var spoil in (string[])
                [
                    @"printf '/runai/librunai.so\r\n' >P",
                    @"printf '\0\n/runai/librunai.so\n' >P",
                    @"printf '# \0\n' >P; chmod 600 P",
                    "echo /runai/librunai.so >/tmp/p; chmod 600 /tmp/p; ln -s /tmp/p P",
                ]
        )
        {
            var image = Changed("sh", "-c", spoil.Replace("P", "/etc/ld.so.preload", StringComparison.Ordinal));
            Assert.That(
                ParseSmi(Engine.Run(["--rm", "--user", "1000", .. Quota, image, .. SmiQuery]).Ok()).Total,
                Is.EqualTo(3296),
                spoil
            );
        }
        var pipe = Changed("sh", "-c", "mkdir /etc/ld.so.preload");
        Assert.That(
            Engine.Run(["--rm", .. Quota, pipe, .. SmiQuery]).All,
            Does.Contain(
                "/etc/ld.so.preload of the container is no file: remove it, or add -e LD_PRELOAD=/runai/librunai.so"
            )
        );
    }

    /// <summary>What names the shim in a variable is no reason to leave the file away: the variable does not reach
    /// every program.</summary>
    [TestCase("/runai/librunai.so")]
    [TestCase("/usr/lib/x86_64-linux-gnu/libm.so.6")]
    public void An_image_with_LD_PRELOAD_keeps_the_quota(string preload)
    {
        Engine.Docker("import", "-c", $"ENV LD_PRELOAD={preload}", Repository.Image, "preset").Ok();
        var container = Engine.Start([.. Quota, "preset", "sleep", "600"]);
        Assert.That(Engine.Smi(container).Total, Is.EqualTo(3296));
        Assert.That(Engine.Smi(container, "env", "-i").Total, Is.EqualTo(3296), "env -i");
    }

    [Test]
    public void A_shared_network_does_not_share_the_quota()
    {
        var other = Engine.Start([.. Quota, Image, "sleep", "600"]);
        var mine = Engine
            .Docker([
                "run",
                "--rm",
                "--gpus",
                "1",
                "--network",
                $"container:{other}",
                "-v",
                "runai:/runai",
                "--label",
                "gpu-memory=0.5",
                Image,
                .. SmiQuery,
            ])
            .Ok();
        Assert.That(ParseSmi(mine).Total, Is.EqualTo(5494));
        Assert.That(Engine.Smi(other).Total, Is.EqualTo(3296));
    }

    [Test]
    public void A_container_keeps_its_quota_at_every_start()
    {
        var container = Engine
            .Docker(["create", "--network", "none", "--gpus", "1", .. Quota, Image, .. SmiQuery])
            .Ok();
        Assert.That(Engine.Docker("start", "-a", container).Ok(), Does.StartWith("3296,"));
        Assert.That(Engine.Docker("start", "-a", container).Ok(), Does.StartWith("3296,"));
    }

    [Test]
    public void Racing_processes_of_a_container_stay_within_its_quota()
    {
        Engine.ForgetPeak();
        // Each tries for 40 x 64 MiB; together they may have 2 GiB of the GPU, contexts included.
        var output = Engine.Run([
            "--rm",
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=2g",
            Image,
            "sh",
            "-c",
            "gpu-alloc --hold 1 $(seq -f 64m 1 40 | sed 's/.*/64m/') & gpu-alloc --hold 1 $(seq 1 40 | sed "
                + "'s/.*/64m/'); wait",
        ]);
        Assert.That(output.All, Does.Contain("CUDA_ERROR_OUT_OF_MEMORY"), "both stop at the limit");
        Assert.That(Engine.Peak(), Is.LessThanOrEqualTo(2L << 30).And.GreaterThan(1L << 30));
    }

    [Test]
    public void A_program_that_uses_no_GPU_is_left_alone()
    {
        var output = Engine.Run(["--rm", .. Quota, Image, "sh", "-c", "echo said; ls /runai/usage"]);
        Assert.That((output.Code, output.Out, output.Error), Is.EqualTo((0, "said\n", "")));
    }

    [Test]
    public void The_plugin_starts_before_other_plugins()
    {
        static string Niceness(string stat) => stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[16];
        var threads = Directory
            .GetDirectories($"/proc/{Engine.PluginProcess()}/task")
            .Select(task => (Name: ProcFile.TryRead($"{task}/comm"), Stat: ProcFile.TryRead($"{task}/stat")))
            .Where(thread => thread is { Name: not null, Stat: not null })
            .ToLookup(thread => thread.Name!.Trim(), thread => Niceness(thread.Stat!));
        Assert.That(threads["openings of the"], Is.Not.Empty.And.All.EqualTo("-11"));
        Assert.That(threads[".NET TP Worker"], Is.Not.Empty.And.All.EqualTo("-11"));
    }
}
