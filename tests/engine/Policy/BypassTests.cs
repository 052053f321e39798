// SPDX-License-Identifier: Apache-2.0
using System.Formats.Tar;
using System.Globalization;
using System.Text;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>What is done to a container between its creation and its start, beside it, or before there was a
/// policy.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed class BypassTests(string version) : PolicyFixture(version)
{
    void StaysWithin(string id)
    {
        Engine.Raw("POST", $"/containers/{id}/start");
        Assert.That(Attempt.FindBreach(Engine, id, Most), Is.Null);
    }

    [Test]
    public void A_container_older_than_the_policy_does_not_start()
    {
        var id = CreateForbidden("forbidden");
        foreach (
            var form in (string[])
                [
                    "/containers/{0}/start",
                    "/v1.41/containers/{0}/start",
                    "/v1.24/containers/{0}/start",
                    "/v1.12/containers/{0}/start",
                    "/containers/{1}/start",
                    "/containers/forbidden/start",
                    "/containers/%66orbidden/start",
                    "/containers/%2Fforbidden/start",
                    "/containers//forbidden/start",
                    "/containers/forbidden/%73tart",
                    "/containers/forbidden%2Fstart",
                    "/containers/forbidden/start?x=y",
                    "/containers/forbidden/start/",
                    "/%63ontainers/forbidden/start",
                    "http://x/containers/forbidden/start",
                    "http:/containers/forbidden/start",
                    "x:/v1.41/containers/{0}/start",
                    "http:/containers/forbidden/restart",
                    "http:///containers/forbidden/start",
                    "http:containers/forbidden/start",
                    "/v1.41//containers/forbidden/start",
                    "/containers/./forbidden/start",
                    "/containers/x/../forbidden/start",
                    "/containers/forbidden/restart?t=0",
                    "/containers/forbidden/re%73tart",
                    "/containers/{1}/restart",
                    "/v1.12/containers/forbidden/restart",
                    "/containers/forbidden/unpause",
                    "/containers/forbidden/start%00",
                    "/containers/FORBIDDEN/start",
                    "/containers/forbidden /start",
                    "/containers/forbidden%20/start",
                    "/containers/forbidden/start#x",
                    "/containers/forbidden/start?detachKeys=%",
                ]
        )
        foreach (
            var headers in (string[][])
                [
                    [],
                    ["Content-Type: application/x-www-form-urlencoded"],
                    ["Transfer-Encoding: chunked"],
                ]
        )
        {
            var answer = Engine.Raw(
                "POST",
                string.Format(CultureInfo.InvariantCulture, form, id, id[..5]),
                headers.Length == 0 ? null : Encoding.ASCII.GetBytes(headers[0].StartsWith('T') ? "0\r\n\r\n" : ""),
                headers.Length > 0 && headers[0].StartsWith('T') ? [.. headers, "Content-Length: "] : headers
            );
            Assert.That(answer.Status, Is.Not.EqualTo(204), $"{form}: {answer}");
        }

        Assert.That(Engine.Runs(id), Is.False);
    }

    [Test]
    public void An_update_adds_nothing()
    {
        var id = CreateLegal("updated");
        Engine.Raw(
            "POST",
            $"/containers/{id}/update",
            """{"Privileged":true,"DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}],"Labels":{"gpu-memory":"1"},"Devices":[{"PathOnHost":"/dev/nvidia0"}]}"""u8.ToArray()
        );
        StaysWithin(id);
        var forbidden = CreateForbidden("restarting");
        Engine.Raw("POST", $"/containers/{forbidden}/update", """{"RestartPolicy":{"Name":"always"}}"""u8.ToArray());
        Engine.Stop();
        Engine.StartAgain();
        StaysWithin(forbidden);
    }

    [Test]
    public async Task Names_that_change_hands()
    {
        var (good, bad) = (CreateLegal("good"), CreateForbidden("bad"));
        await Engine.Api.Containers.RenameContainerAsync(good, new() { NewName = "kept" });
        await Engine.Api.Containers.RenameContainerAsync(bad, new() { NewName = "good" });
        Assert.That(Engine.Raw("POST", "/containers/good/start").Status, Is.EqualTo(403));
        Engine.Raw("POST", $"/containers/{bad}/rename?name={good[..12]}");
        Engine.Raw("POST", $"/containers/{good[..12]}/start");
        Assert.That(Attempt.FindBreach(Engine, bad, Most), Is.Null, "the name is the beginning of another's ID");
        Engine.Docker("rm", "-f", good, bad).Ok(); // whom a short ID would mean twice
    }

    [Test]
    public void Files_put_onto_the_preload_before_the_start()
    {
        foreach (
            var (path, entry) in ((string, Func<TarEntry>)[])
                [
                    (
                        "/etc",
                        () =>
                            new UstarTarEntry(TarEntryType.RegularFile, "ld.so.preload")
                            {
                                DataStream = new MemoryStream("# nothing\n"u8.ToArray()),
                            }
                    ),
                    (
                        "/",
                        () =>
                            new UstarTarEntry(TarEntryType.RegularFile, "etc/ld.so.preload")
                            {
                                DataStream = new MemoryStream(),
                            }
                    ),
                    (
                        "/",
                        () =>
                            new UstarTarEntry(TarEntryType.SymbolicLink, "etc/ld.so.preload")
                            {
                                LinkName = "/tmp/nothing",
                            }
                    ),
                    (
                        "/etc/../etc/.",
                        () =>
                            new UstarTarEntry(TarEntryType.RegularFile, "./ld.so.preload")
                            {
                                DataStream = new MemoryStream("/lib/nothing.so"u8.ToArray()),
                            }
                    ),
                    ("/", () => new UstarTarEntry(TarEntryType.Directory, "etc/ld.so.preload")),
                    (
                        "/",
                        () =>
                            new UstarTarEntry(TarEntryType.RegularFile, "etc/ld.so.preload/../ld.so.preload")
                            {
                                DataStream = new MemoryStream(),
                            }
                    ),
                    ("/", () => new UstarTarEntry(TarEntryType.SymbolicLink, "etc") { LinkName = "/runai" }),
                    ("/tmp", () => new UstarTarEntry(TarEntryType.HardLink, "x") { LinkName = "/etc/ld.so.preload" }),
                ]
        )
        {
            var id = CreateLegal("written");
            using var tar = new MemoryStream();
            using (var writer = new TarWriter(tar, TarEntryFormat.Ustar, leaveOpen: true))
                writer.WriteEntry(entry());
            foreach (
                var target in (string[])
                    [
                        $"/containers/{id}/archive?path={path}",
                        $"/v1.41/containers/written/%61rchive?path={path}&noOverwriteDirNonDir=false",
                    ]
            )
                Engine.Raw("PUT", target, tar.ToArray(), "Content-Type: application/x-tar");
            StaysWithin(id);
            Engine.Docker("rm", "-f", id).Ok();
        }
    }

    [Test]
    public void An_image_made_of_a_container()
    {
        var id = CreateLegal("origin");
        StaysWithin(id);
        foreach (
            var (change, run) in ((string, Body)[])
                [
                    ("LABEL gpu-memory=1", Body.Gpu.Volume()),
                    ("ENV LD_PRELOAD=/runai/nothing.so", Body.Gpu.Volume().Quota("0.5")),
                    ("VOLUME /etc", Body.Gpu.Volume().Quota("0.5")),
                    ("VOLUME /runai", Body.Gpu),
                    ("ENV NVIDIA_VISIBLE_DEVICES=all", Body.Plain.Runtime("nvidia")),
                    ("LABEL gpu-memory=0.5", Body.Gpu),
                ]
        )
        {
            Engine.Raw(
                "POST",
                $"/commit?container=origin&repo=made&changes={Uri.EscapeDataString(change)}",
                "{}"u8.ToArray()
            );
            var attempt = Try(run.Image("made"));
            Assert.That(attempt.Breach, Is.Null, $"{change}: {attempt}");
        }
    }

    [Test]
    public void An_image_label_that_appears_after_create()
    {
        // Create is asked about one image, and by its start the name means another; what counts is what the container
        // has.
        Engine.Docker("import", "-c", "LABEL gpu-memory=0.5", Repository.Image, "moving").Ok();
        var created = Engine.Raw("POST", "/v1.41/containers/create", Body.Gpu.Volume().Image("moving").Bytes);
        Engine.Docker("import", "-c", "LABEL gpu-memory=1", Repository.Image, "moving").Ok();
        StaysWithin(Attempt.IdIn(created.Body)!);
    }

    [Test]
    public void The_volume_remade_by_another_driver()
    {
        var id = CreateLegal("waiting");
        Engine.Raw("DELETE", "/volumes/runai?force=1");
        Engine.Raw("POST", "/volumes/create", """{"Name":"runai","Driver":"local"}"""u8.ToArray());
        StaysWithin(id);
        const string Local = """
            "Type":"volume","Source":"runai","Target":"/runai","VolumeOptions":{"DriverConfig":{"Name":"local"} }
            """;
        var attempt = Try(Body.Gpu.Mount(Local).Quota("0.5"));
        Assert.That(attempt.Breach, Is.Null, attempt.ToString());
    }

    /// <summary>By its control group the plugin tells whose a process is.</summary>
    [Test]
    public void A_container_in_the_control_group_of_another()
    {
        var large = CreateLegal("large");
        StaysWithin(large);
        foreach (var parent in (string[])[$"/docker/{large}", $"docker/{large}", $"/docker/x/../{large}/y"])
            Assert.That(
                Try(Body.Gpu.Volume().Host("CgroupParent", parent).Quota("0.1")),
                Has.Property("IsRefused").True,
                parent
            );
        Assert.That(
            Try(Body.Gpu.Volume().Host("CgroupParent", "/mine").Quota("0.1")),
            Has.Property("Runs").True.And.Property("Breach").Null
        );
    }

    /// <summary>While an archive is read from it, the engine does not tell what a container is; and what it tells of
    /// one with volumes of another does not say which part of a volume they are.</summary>
    [TestCase("usage")]
    [TestCase("quiet")]
    public void A_part_of_a_volume_that_another_container_lends(string part)
    {
        var plugin = Engine.Docker("plugin", "inspect", Plugin, "--format", "{{.Id}}").Ok();
        Engine
            .Docker(
                "import",
                "-c",
                "ENV NVIDIA_VISIBLE_DEVICES=all",
                "-c",
                "LABEL gpu-memory=0.5",
                Repository.Image,
                "all-in-it"
            )
            .Ok();
        var lender = Engine.Raw(
            "POST",
            "/containers/create?name=lender",
            Body.Plain.Mount(
                $$$"""
                "Type":"volume","Source":"runai","Target":"/runai",
                "VolumeOptions":{"Subpath":"{{{part}}}","DriverConfig":{"Name":"{{{plugin[..9]}}}"} }
                """
            ).Bytes
        );
        using var reader = new System.Net.Sockets.Socket(
            System.Net.Sockets.AddressFamily.Unix,
            System.Net.Sockets.SocketType.Stream,
            System.Net.Sockets.ProtocolType.Unspecified
        );
        reader.Connect(new System.Net.Sockets.UnixDomainSocketEndPoint(Engine.Socket));
        reader.Send("GET /containers/lender/archive?path=/usr HTTP/1.1\r\nHost: x\r\n\r\n"u8);
        reader.Receive(new byte[100]);
        var created = Engine.Raw(
            "POST",
            "/containers/create",
            Body.Plain.Runtime("nvidia").HostList("VolumesFrom", "lender").Image("all-in-it").Bytes
        );
        reader.Dispose();
        // An engine that knows no parts makes none; one that does not describe the lender in time has the create
        // refused.
        if (created.Status != 201)
            Assert.That(lender.Status != 201 || Attempt.IsRefusal(created), created.ToString());
        else
            Assert.That(
                Engine.Raw("POST", $"/containers/{Attempt.IdIn(created.Body)}/start").Body,
                Does.Contain("add -v runai:/runai, which takes its place")
            );
    }

    /// <summary>A refused `docker run --rm` and many calls at once leave nothing that runs.</summary>
    [Test]
    public void Many_starts_at_once_of_one_container()
    {
        var (good, bad) = (CreateLegal("at-once"), CreateForbidden("never"));
        Parallel.For(
            0,
            24,
            new ParallelOptions { MaxDegreeOfParallelism = 8 },
            i => Engine.Raw("POST", $"/containers/{(i % 2 == 0 ? good : bad)}/{(i % 3 == 0 ? "restart?t=0" : "start")}")
        );
        Assert.That(Attempt.FindBreach(Engine, good, Most), Is.Null);
        Assert.That(Engine.Runs(bad), Is.False);
    }
}
