// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>What does not fit together is refused with the words that mend it.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class RefusalTests(string version) : EngineFixture(version)
{
    void Refused(string words, params string[] arguments)
    {
        var output = Engine.Run(["--rm", .. arguments, Image, "true"]);
        Assert.That(output.Code, Is.EqualTo(125), output.All);
        Assert.That(output.Error, Does.Contain(words));
        Assert.That(Engine.Docker("ps", "-aq").Ok(), Is.Empty, "nothing was created");
    }

    [Test]
    public void A_label_without_the_volume() =>
        Refused("gpu-memory=0.5 needs the runai volume: add -v runai:/runai", "--label", "gpu-memory=0.5");

    [TestCase("2")]
    [TestCase("0")]
    [TestCase("-1")]
    [TestCase("1e3")]
    [TestCase("50%")]
    [TestCase("NaN")]
    public void A_value_that_is_no_quota(string value) =>
        Refused($"gpu-memory={value} ", "-v", "runai:/runai", "--label", $"gpu-memory={value}");

    [Test]
    public void The_volume_without_a_quota() => Refused("add --label gpu-memory=", "-v", "runai:/runai");

    /// <summary>The engine makes a volume of its own of a name that it does not know, and the container would have the
    /// whole GPU.</summary>
    [Test]
    public void Anything_else_at_the_volumes_place()
    {
        Refused(
            "hafl at /runai is not a volume of this plugin, so nothing would limit this container's GPU memory",
            "-v",
            "hafl:/runai"
        );
        Refused("the host's /var is at /runai", "-v", "/var:/runai");
        Refused("an anonymous volume or a tmpfs is at /runai", "--tmpfs", "/runai");
        Engine.Docker("import", "-c", "VOLUME /runai", Repository.Image, "with-a-volume").Ok();
        var output = Engine.Run("--rm", "with-a-volume", "echo", "STARTED");
        Assert.That(
            output.All,
            Does.Contain("an anonymous volume or a tmpfs is at /runai").And.Not.Contain("STARTED"),
            "only the start shows it"
        );
        Engine
            .Docker("create", "--name", "carrier-of-hafl", "--network", "none", "-v", "hafl:/runai", Image, "true")
            .Ok();
        Assert.That(
            Engine.Run("--rm", "--volumes-from", "carrier-of-hafl", Image, "true").Error,
            Does.Contain("hafl at /runai is not a volume of this plugin")
        );
        Assert.That(
            Engine.Docker("run", "--rm", "--network", "none", "-v", "hafl:/runai", Image, "echo", "fine").Ok(),
            Is.EqualTo("fine"),
            "without a GPU it is nobody's business"
        );
        Engine.Docker("rm", "carrier-of-hafl").Ok();
    }

    [Test]
    public void A_size_above_the_GPU_with_both_figures()
    {
        var output = Engine.Run("--rm", "-v", "runai:/runai", "--label", "gpu-memory=20g", Image, "true");
        Assert.That(output.Code, Is.Not.Zero);
        Assert.That(
            output.Error,
            Does.Contain("20g").And.Contain("21474836480").And.Contain($"{TotalMiB * 1024L * 1024}")
        );
    }

    /// <summary>Newer engines make the ledger's folder read-only with it, and four processes had nearly twice the
    /// quota.</summary>
    [Test]
    public void A_read_only_volume()
    {
        Refused("leave ro out", "-v", "runai:/runai:ro", "--label", "gpu-memory=0.3");
        Refused("leave ro out", "--mount", "type=volume,src=runai,dst=/runai,readonly", "--label", "gpu-memory=0.3");
    }

    /// <summary>The engine drops what it does not know of a body, so what it made of it is refused at the start; and
    /// `docker run --rm` waits until the container is gone.</summary>
    [Test]
    public void A_refused_start_does_not_hang_the_client()
    {
        Engine
            .Docker(
                "create",
                "--name",
                "carrier",
                "--network",
                "none",
                "-v",
                "runai:/runai",
                "--label",
                "gpu-memory=0.5",
                Image,
                "true"
            )
            .Ok();
        Engine.Docker("import", "-c", "LABEL gpu-memory=2", Repository.Image, "mislabelled").Ok();
        var output = Engine.Docker(
            "run",
            "--rm",
            "--network",
            "none",
            "--volumes-from",
            "carrier",
            "mislabelled",
            "true"
        );
        Assert.That(output.Code, Is.EqualTo(125), output.All);
        Assert.That(output.Error, Does.Contain("gpu-memory=2 has no unit"));
        Eventually(
            () =>
                !Engine
                    .Docker("ps", "-a", "--format", "{{.Image}}")
                    .Ok()
                    .Contains("mislabelled", StringComparison.Ordinal),
            "the container is gone"
        );
    }

    [Test]
    public void A_read_only_root_with_the_engines_remedies()
    {
        const string Start = "--read-only leaves no way to put /etc/ld.so.preload into the container: add ";
        Refused(
            Engine.Major < 26
                ? Start + "-e LD_PRELOAD=/runai/librunai.so, which"
                : Start
                    + "--mount type=volume,src=runai,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload (Docker "
                    + "26 and newer), or -e LD_PRELOAD=/runai/librunai.so",
            "--read-only",
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3"
        );
    }

    [Test]
    public void The_first_remedy_works() =>
        Assert.That(
            ParseSmi(
                Engine
                    .Run([
                        "--rm",
                        "--read-only",
                        "-e",
                        "LD_PRELOAD=/runai/librunai.so",
                        "-v",
                        "runai:/runai",
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
    public void The_second_remedy_works_on_engines_with_subpaths()
    {
        var output = Engine.Run([
            "--rm",
            "--read-only",
            "--mount",
            "type=volume,src=runai,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload",
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.3",
            Image,
            .. SmiQuery,
        ]);
        if (Engine.Major >= 26)
            Assert.That(ParseSmi(output.Ok()).Total, Is.EqualTo(3296));
        else
            Assert.That(output.Code, Is.EqualTo(125), "this engine and its client know no volume-subpath");
    }

    [Test]
    public void An_unknown_option_of_the_volume_by_its_name()
    {
        var output = Engine.Docker("volume", "create", "-d", Plugin, "-o", "size=3g", "other");
        Assert.That(output.Code, Is.Not.Zero);
        Assert.That(output.Error, Does.Contain("size"));
    }

    [Test]
    public void A_volume_whose_value_is_no_quota()
    {
        var output = Engine.Docker("volume", "create", "-d", Plugin, "-o", "gpu-memory=2", "other");
        Assert.That(output.Code, Is.Not.Zero);
        Assert.That(output.Error, Does.Contain("gpu-memory=2 "));
    }

    [Test]
    public void Containers_without_GPUs_are_left_alone()
    {
        Assert.That(
            Engine
                .Docker(
                    "run",
                    "--rm",
                    "--network",
                    "none",
                    "--read-only",
                    "--label",
                    "other=1",
                    "-v",
                    "plain:/data",
                    "-e",
                    "LD_PRELOAD=",
                    Image,
                    "echo",
                    "fine"
                )
                .Ok(),
            Is.EqualTo("fine")
        );
        Engine.Docker("volume", "rm", "plain").Ok();
    }
}
