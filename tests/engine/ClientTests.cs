// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>The clients that people use, beside `docker run`.</summary>
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed class ClientTests(string version) : EngineFixture(version)
{
    /// <summary>A project with one service, whose volume <paramref name="volume"/> is at /runai; then what is done with
    /// it.</summary>
    void Composed(string volume, string definition, string labels, Action<Func<string[], Output>> use)
    {
        Engine.InstallCliPlugin(
            "docker-compose",
            Path.Combine(Repository.Build, "engines", Engine.Version, "docker-compose")
        );
        var folder = Directory.CreateTempSubdirectory("compose-").FullName;
        File.WriteAllText(
            Path.Combine(folder, "compose.yaml"),
            $$"""
            services:
              train:
                image: {{Image}}
                command: ["{{string.Join("\", \"", SmiQuery)}}"]
                network_mode: none
                labels: { {{labels}} }
                volumes: [ "{{volume}}:/runai" ]
                deploy: { resources: { reservations: { devices: [ { capabilities: [ gpu ], count: 1 } ] } } }
            volumes:
              {{volume}}: { {{definition}} }
            """
        );
        use(arguments => Engine.Docker(["compose", "--project-directory", folder, .. arguments]));
        Directory.Delete(folder, recursive: true);
    }

    [Test]
    public void Compose_with_the_volume_named_as_external() =>
        Composed(
            "runai",
            "external: true",
            "gpu-memory: '0.5'",
            compose =>
            {
                Assert.That(compose(["run", "--rm", "train"]).Ok(), Does.StartWith("5494,"));
                Assert.That(compose(["up", "--no-color"]).All, Does.Contain("5494, 0"));
                compose(["down"]).Ok();
            }
        );

    [Test]
    public void Compose_with_a_volume_that_it_makes_itself() =>
        Composed(
            "half",
            $$"""driver: "{{Plugin}}", driver_opts: { gpu-memory: "0.5" }""",
            "",
            compose =>
            {
                Assert.That(compose(["run", "--rm", "train"]).Ok(), Does.StartWith("5494,"));
                compose(["down", "--volumes"]).Ok();
                Assert.That(Engine.Docker("volume", "ls", "-q").Ok(), Does.Not.Contain("half"));
            }
        );

    [Test]
    public void The_wrapper_as_a_CLI_plugin()
    {
        Engine.InstallCliPlugin("docker-runai", Repository.Wrapper);
        Assert.That(
            Engine
                .Docker([
                    "runai",
                    "run",
                    "--rm",
                    "--network",
                    "none",
                    "--gpus",
                    "1",
                    "--gpu-memory",
                    "0.3",
                    Image,
                    .. SmiQuery,
                ])
                .Ok(),
            Does.StartWith("3296,")
        );
    }

    [Test]
    public void A_swarm_service_is_limited_from_its_first_program()
    {
        Engine.Docker("swarm", "init", "--advertise-addr", "127.0.0.1").Ok();
        Engine
            .Docker(
                "service",
                "create",
                "--detach",
                "--name",
                "limited",
                "--network",
                "host",
                "--container-label",
                "gpu-memory=0.3",
                "--mount",
                "type=volume,src=runai,dst=/runai",
                "--env",
                "LD_PRELOAD=/runai/librunai.so",
                "--mount",
                $"type=bind,src={Sim("")},dst=/sim,readonly",
                "--mount",
                $"type=bind,src={Engine.Gpus},dst=/run/simgpu",
                "--env",
                "LD_LIBRARY_PATH=/sim",
                "--no-resolve-image",
                Image,
                "sh",
                "-c",
                $"while sleep 1; do /sim/{string.Join(' ', SmiQuery)}; done"
            )
            .Ok();
        Eventually(
            () =>
                Engine.Docker("service", "logs", "--raw", "limited").Out.Contains("3296, 0", StringComparison.Ordinal),
            "the task sees its quota",
            60
        );
        Engine.Docker("service", "rm", "limited").Ok();
        Engine.Docker("swarm", "leave", "--force").Ok();
    }
}
