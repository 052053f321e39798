// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>NVIDIA's runtime is the default: an image's environment, and the generic resources of a service, give GPUs
/// without a word in any call.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class DefaultRuntimeTests(string version) : PolicyFixture(version)
{
    protected override string[] Flags => ["--default-runtime", "nvidia", "--node-generic-resource", "gpu=all"];

    [OneTimeSetUp]
    public void MakeImageAndSwarm()
    {
        Engine.Docker("import", "-c", "ENV NVIDIA_VISIBLE_DEVICES=all", Repository.Image, "cuda").Ok();
        Engine.Docker("swarm", "init", "--advertise-addr", "127.0.0.1").Ok();
    }

    [OneTimeTearDown]
    public void LeaveSwarm() => Engine.Docker("swarm", "leave", "--force").Ok();

    RawAnswer Create(string image, string container = "", string task = "", int replicas = 0) =>
        Engine.Raw(
            "POST",
            "/services/create",
            Encoding.UTF8.GetBytes(
                $$$"""{"Name":"job","Mode":{"Replicated":{"Replicas":{{{replicas}}}}},"TaskTemplate":{"ContainerSpec":{"Image":"{{{image}}}","Command":["sleep","300"]{{{container}}}},"Networks":[{"Target":"host"}]{{{task}}}}}"""
            )
        );

    const string NamedResource =
        ""","Resources":{"Reservations":{"GenericResources":[{"NamedResourceSpec":{"Kind":"gpu","Value":"all"}}]}}""";
    const string DiscreteResource =
        ""","Resources":{"Reservations":{"GenericResources":[{"DiscreteResourceSpec":{"Kind":"gpu","Value":1}}]}}""";
    const string Preload = ""","Env":["LD_PRELOAD=/runai/librunai.so"]""";
    const string Quota =
        ""","Labels":{"gpu-memory":"0.5"},"Mounts":[{"Type":"volume","Source":"runai","Target":"/runai"}]""";

    [Test]
    public void The_doctor_finds_the_default_runtime()
    {
        Engine.InstallCliPlugin("docker-runai", Repository.Wrapper);
        var found = StatusTests.Examine(Engine);
        Assert.That(found.Problems, Does.Contain("runtime"), found.All);
        Assert.That(found.Code, Is.EqualTo(1));
    }

    [Test]
    public void A_service_without_a_quota_is_refused()
    {
        foreach (
            var (image, container, task) in ((string, string, string)[])
                [
                    ("cuda", "", ""),
                    (Image, ""","Env":["DOCKER_RESOURCE_GPU=0"]""", ""),
                    (Image, "", NamedResource),
                    (Image, "", DiscreteResource),
                ]
        )
        {
            var answer = Create(image, container, task);
            Assert.That(
                Attempt.IsRefusal(answer) && answer.Body.Contains("needs a quota", StringComparison.Ordinal),
                $"{image} {container} {task}: {answer}"
            );
        }
        Assert.That(Create(Image).Status, Is.EqualTo(201), "one that asks for no GPU");
        Engine.Docker("service", "rm", "job").Ok();
    }

    [Test]
    public void A_service_with_a_quota_runs_and_is_limited()
    {
        Assert.That(
            Create(Image, Quota, DiscreteResource, replicas: 1).Body,
            Does.Contain(
                "swarm starts tasks before /etc/ld.so.preload can be put into them, so nothing would limit "
                    + "their first program: add --env LD_PRELOAD=/runai/librunai.so (docker service update: "
                    + "--env-add)"
            )
        );
        Assert.That(Create(Image, Quota + Preload, DiscreteResource, replicas: 1).Status, Is.EqualTo(201));
        var id = "";
        Eventually(
            () =>
                (
                    id = Engine
                        .Docker("ps", "-q", "--no-trunc", "--filter", "label=com.docker.swarm.service.name=job")
                        .Ok()
                ).Length > 0,
            "its task runs"
        );
        Assert.That(
            Engine.Docker("inspect", "-f", "{{.Config.Env}}", id).Ok(),
            Does.Contain("DOCKER_RESOURCE_GPU=all"),
            "swarm says which it has"
        );
        Eventually(
            () => Engine.Docker("exec", id, "cat", "/proc/1/maps").Out.Contains("libc.so", StringComparison.Ordinal),
            "its first program runs"
        );
        Assert.That(
            Engine.Docker("exec", id, "cat", "/proc/1/maps").Ok(),
            Does.Contain("/runai/librunai.so"),
            "with the shim"
        );
        Eventually(
            () =>
                Engine
                    .Docker("exec", id, "env", "-i", "cat", "/proc/self/maps")
                    .Out.Contains("/runai/librunai.so", StringComparison.Ordinal),
            "and those without its environment have it a little later"
        );
        Eventually(
            () => Engine.Docker(["exec", id, .. SmiQuery]).Out.StartsWith($"{Part(0.5m)},", StringComparison.Ordinal),
            "it is limited"
        );
        Engine.Docker("service", "rm", "job").Ok();
    }
}
