// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>What people type on the first day, and what stood on the machine before.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class EverydayTests(string version) : EngineFixture(version)
{
    static readonly string[] Half = ["-v", "runai:/runai", "--label", "gpu-memory=0.5"];

    Output Create(params string[] arguments) =>
        Engine.Docker(["create", "--network", "none", "--gpus", "1", .. arguments]);

    [Test]
    public void The_version_and_the_time_of_a_volume_are_shown()
    {
        var version = System
            .Xml.Linq.XDocument.Load(Path.Combine(Repository.Root, "Directory.Build.props"))
            .Descendants("Version")
            .Single()
            .Value;
        Engine.Docker("volume", "create", "-d", Plugin, "-o", "gpu-memory=0.5", "half").Ok();
        foreach (var volume in (string[])["runai", "half"])
            Assert.That(
                Engine.Docker("volume", "inspect", "-f", "{{.Status.Plugin}} {{.CreatedAt}}", volume).Ok(),
                Does.StartWith($"{version} {DateTime.UtcNow.Year}-"),
                volume
            );
        Engine.Docker("volume", "rm", "half").Ok();
        Assert.That(
            Engine.Docker("plugin", "inspect", "-f", "{{.Config.Description}}", Plugin).Ok(),
            Does.Contain($"version {version}:")
        );
        Assert.That(Engine.Log, Does.Contain($"version {version} starts"));
    }

    [TestCase("c", "volume name is too short, names should be at least two alphanumeric characters")]
    [TestCase(
        "../x",
        "\"../x\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed"
    )]
    public void Volume_names_follow_the_engines_own_rule(string name, string words)
    {
        foreach (var driver in (string[])["local", Plugin])
        {
            var output = Engine.Docker("volume", "create", "-d", driver, name);
            Assert.That(output.Code, Is.Not.Zero, driver);
            Assert.That(output.Error, Does.Contain(words), driver);
        }
    }

    [Test]
    public void A_one_letter_volume_name_is_refused()
    {
        var output = Engine.Run("--rm", "-v", "c:/runai", Image, "true");
        Assert.That(output.Code, Is.EqualTo(125), output.All);
        Assert.That(output.Error, Does.Contain("-v c:/runai names no volume"));
    }

    /// <summary>The first line of the README before the plugin is installed: the engine makes a volume of its own by
    /// that name.</summary>
    [Test]
    public void An_older_volume_of_that_name_is_reported()
    {
        WithoutPlugin(() => Engine.Run(["--name", "early", .. Half, Image, "true"]).Ok());
        const string Words =
            "and runai is a volume of the driver local, made before this plugin was there: docker volume rm "
            + "runai, and try again";
        foreach (
            var output in (Output[])
                [
                    Create([.. Half, Image, "true"]),
                    Create("-v", "runai:/runai", Image, "true"),
                    Engine.Docker("start", "early"),
                ]
        )
            Assert.That(output.Error, Does.Contain(Words));
        Engine.Docker("rm", "early").Ok();
        Engine.Docker("volume", "rm", "runai").Ok();
        Assert.That(ParseSmi(Engine.Run(["--rm", .. Half, Image, .. SmiQuery]).Ok()).Total, Is.EqualTo(Part(0.5m)));
    }

    [Test]
    public void A_committed_image_runs_and_one_line_cleans_it()
    {
        Engine.Run(["--name", "source", .. Half, Image, "true"]).Ok();
        Engine.Docker("commit", "source", "made").Ok();
        Output Plain(string image, params string[] options) =>
            Engine.Docker(["run", "--rm", "--network", "none", .. options, image, "cat", "/etc/ld.so.preload"]);
        Assert.That(Plain("made").Error, Does.Contain("cannot be preloaded"), "no GPU: its label is of no matter");
        Assert.That(
            Engine.Run("--rm", "made", "true").Error,
            Does.Contain("gpu-memory=0.5 needs the runai volume: add -v runai:/runai")
        );
        foreach (var off in (string[])["", "none"])
            Engine.Run("--rm", "--label", $"gpu-memory={off}", "made", "true").Ok();
        Assert.That(
            ParseSmi(Engine.Run(["--rm", "-v", "runai:/runai", "made", .. SmiQuery]).Ok()).Total,
            Is.EqualTo(Part(0.5m))
        );
        Engine.Command("sh", "-c", $"'{Engine.Cli}' export source | '{Engine.Cli}' import - exported").Ok();
        Assert.That(
            Plain("exported").Error,
            Does.Contain("object '/runai/librunai.so' from /etc/ld.so.preload cannot be preloaded")
        );
        foreach (var image in (string[])["made", "exported"])
        {
            Engine
                .Command(
                    "sh",
                    "-c",
                    $"printf 'FROM {image}\\nRUN sed -i /runai/d /etc/ld*.so.preload\\nLABEL "
                        + $"gpu-memory=none\\n' | DOCKER_BUILDKIT=0 '{Engine.Cli}' build --network none -t {image} -"
                )
                .Ok();
            Assert.That((Plain(image).All.Trim(), Plain(image, "--gpus", "1").Code), Is.EqualTo(("", 0)), image);
        }
        if (Engine.Major < 26)
            return;
        Engine
            .Run([
                "--name",
                "mounted",
                "--mount",
                "type=volume,src=runai,dst=/etc/ld.so.preload,volume-subpath=ld.so.preload",
                .. Half,
                Image,
                "true",
            ])
            .Ok();
        Engine.Docker("commit", "mounted", "made").Ok();
        Assert.That(Plain("made").All.Trim(), Is.Empty);
    }

    /// <summary>An engine before 26 leaves the subpath away, and so does any before API 1.45.</summary>
    [TestCase("/v1.41")]
    [TestCase("")]
    public void A_subpath_unknown_to_the_engine_is_refused(string version)
    {
        var created = Engine.Raw(
            "POST",
            version + "/containers/create?name=parted",
            Body.Plain.Host("\"ReadonlyRootfs\":true")
                .Mount(
                    """
                    "Type":"volume","Source":"runai","Target":"/runai"},
                    {"Type":"volume","Source":"runai","Target":"/etc/ld.so.preload",
                    "VolumeOptions":{"Subpath":"ld.so.preload"}
                    """
                )
                .Quota("0.5")
                .Bytes,
            "Content-Type: application/json"
        );
        if (version.Length == 0 && Engine.Major >= 26)
        {
            Engine.Docker("start", "parted").Ok();
            return;
        }
        var words = version.Length > 0 ? created.Body : Engine.Docker("start", "parted").Error;
        Assert.That(
            words,
            Does.Contain(
                "knows no volume-subpath (Docker 26 and newer do, from API 1.45 on), so the whole runai volume "
                    + "would be at /etc/ld.so.preload: leave that mount out, and where the container has --read-only "
                    + "add -e LD_PRELOAD=/runai/librunai.so"
            )
        );
    }

    [Test]
    public void An_image_that_blocks_the_preload_is_refused()
    {
        void Build(string name, string line) =>
            Engine
                .Command(
                    "sh",
                    "-c",
                    $"printf 'FROM {Image}\\nRUN {line}\\n' | DOCKER_BUILDKIT=0 '{Engine.Cli}' build --network "
                        + $"none -t {name} -"
                )
                .Ok();
        Build("filed", "touch /runai");
        Assert.That(
            Engine.Run(["--rm", .. Half, "filed", "true"]).Error,
            Does.Contain(
                "the image seems to have a file at /runai, where the volume belongs: mount it elsewhere, add "
                    + "-v runai:/opt/runai in its place"
            )
        );
        Assert.That(
            ParseSmi(
                Engine.Run(["--rm", "-v", "runai:/opt/runai", "--label", "gpu-memory=0.5", "filed", .. SmiQuery]).Ok()
            ).Total,
            Is.EqualTo(Part(0.5m))
        );
        Build("linked", "chmod 700 /root && ln -s /root/quota /runai");
        Assert.That(
            Engine.Run(["--rm", "--user", "1000", .. Half, "linked", "true"]).Error,
            Does.Contain(
                Engine.Major < 28
                    ? "/root is closed to its owner, its group or others: add -v runai:/opt/runai in its place"
                    : "the target of a mount leads through a link of the image: mount it where none does, or add "
                        + "--mount"
            )
        );
        Assert.That(
            ParseSmi(
                Engine
                    .Run([
                        "--rm",
                        "--user",
                        "1000",
                        "-v",
                        "runai:/opt/runai",
                        "--label",
                        "gpu-memory=0.5",
                        "linked",
                        .. SmiQuery,
                    ])
                    .Ok()
            ).Total,
            Is.EqualTo(Part(0.5m))
        );
        Build("foldered", "mkdir /etc/ld.so.preload");
        Assert.That(
            Engine.Run(["--rm", .. Half, "foldered", "true"]).Error,
            Does.Contain(
                "/etc/ld.so.preload of the container is no file: remove it, or add -e LD_PRELOAD=/runai/librunai.so"
            )
        );
        Assert.That(
            ParseSmi(
                Engine.Run(["--rm", "-e", "LD_PRELOAD=/runai/librunai.so", .. Half, "foldered", .. SmiQuery]).Ok()
            ).Total,
            Is.EqualTo(Part(0.5m))
        );
    }

    /// <summary>Compose makes the new container first, then ends the old one.</summary>
    [Test]
    public void Compose_replaces_a_container_on_a_full_GPU()
    {
        Engine.Enforce("{}");
        var folder = Directory.CreateTempSubdirectory("compose-").FullName;
        Output Up(string command, string volume = "runai: { external: true }")
        {
            File.WriteAllText(
                Path.Combine(folder, "compose.yaml"),
                $$"""
                services:
                  train:
                    image: {{Image}}
                    command: [ "sleep", "{{command}}" ]
                    network_mode: none
                    stop_grace_period: 0s
                    labels: { gpu-memory: "0.7" }
                    volumes: [ "runai:/runai" ]
                    deploy: { resources: { reservations: { devices: [ { capabilities: [ gpu ], count: 1 } ] } } }
                volumes: { {{volume}} }
                """
            );
            return Engine.Command(
                Path.Combine(
                    Repository.Build,
                    "engines",
                    Engine.Major < 26 ? Engines.Middle : Engine.Version,
                    "docker-compose"
                ),
                "--project-directory",
                folder,
                "-p",
                "lab",
                "up",
                "-d"
            );
        }

        Up("300").Ok();
        Up("301").Ok();
        Assert.That(
            Engine.Docker("ps", "--format", "{{.Command}}", "--no-trunc").Ok(),
            Does.Contain("sleep 301").And.Not.Contain("sleep 300")
        );
        var refused = Engine.Run(["--name", "job", "-v", "runai:/runai", "--label", "gpu-memory=0.6", Image, "true"]);
        Assert.That(
            refused.Error,
            Does.Contain("lab")
                .And.Contain("holds 0.7")
                .And.Contain("; docker start job tries again, and docker run with --rm leaves no container behind")
        );
        Assert.That(
            Engine
                .Run(["--rm", "--name", "other", "-v", "runai:/runai", "--label", "gpu-memory=0.6", Image, "true"])
                .Error,
            Does.Not.Contain("tries again")
        );
        Eventually(
            () => !Engine.Docker("ps", "-a", "--format", "{{.Names}}").Ok().Contains("other", StringComparison.Ordinal),
            "--rm leaves nothing"
        );
        foreach (var id in Engine.Docker("ps", "-q").Ok().Split('\n'))
            Engine.Docker("rm", "-f", id).Ok();
        Eventually(() => Engine.Docker("start", "job").Code == 0, "there is room");
        Assert.That(
            Up("302", "runai: {}").Error,
            Does.Contain(
                "lab_runai at /runai is a volume that Compose makes for this project: write \"runai: { "
                    + "external: true }\" under the file's volumes"
            )
        );
        Engine.WritePolicy(null);
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>As before the plugin was installed: the engine has no volume of it either.</summary>
    void WithoutPlugin(Action use)
    {
        Engine.Docker("volume", "rm", "-f", "runai").Ok();
        Engine.AskNobody();
        try
        {
            Engine.Docker("plugin", "disable", "-f", Plugin).Ok();
            use();
        }
        finally
        {
            Engine.Docker("plugin", "enable", Plugin);
            Engine.Authorize();
        }
    }
}
