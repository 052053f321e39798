// SPDX-License-Identifier: Apache-2.0
using System.Formats.Tar;
using System.Text;
using System.Text.RegularExpressions;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>The calls beside a container's life, sent by somebody who is no admin: to change the plugin, a volume, a
/// running container or an image is no way around the policy.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Newest)]
sealed partial class AuxiliaryCallTests(string version) : PolicyFixture(version)
{
    protected override string PolicyFile => """{ "requireQuota": true, "maxQuota": "0.5", "localSocket": "user" }""";

    const string ForAdmins = """{ "requireQuota": true, "maxQuota": "0.5" }""";

    void Rule(string policy)
    {
        Engine.WritePolicy(policy);
        Eventually(
            () => Attempt.IsRefusal(Engine.Raw("POST", "/plugins/none/disable")) == (policy == PolicyFile),
            "the policy is read"
        );
    }

    void Denied(string method, string target, byte[]? body = null) =>
        Assert.That(Attempt.IsRefusal(Engine.Raw(method, target, body)), $"{method} {target}");

    [Test]
    public void Plugins_are_the_admins()
    {
        var id = Engine.Docker("plugin", "inspect", Plugin, "--format", "{{.Id}}").Ok();
        var foreign = Path.Combine(Repository.Build, "foreign-plugin");
        Directory.CreateDirectory(Path.Combine(foreign, "rootfs"));
        File.WriteAllText(
            Path.Combine(foreign, "config.json"),
            """{"description":"x","entrypoint":["/x"],"interface":{"socket":"x.sock","types":["docker.volumedriver/1.0"]},"linux":{"allowAllDevices":true,"capabilities":["CAP_SYS_ADMIN"]}}"""
        );
        foreach (
            var name in (string[])
                [Plugin, $"{Plugin}:latest", id, id[..12], id[..2], "runai%2Fgpu-memory", "%72unai/gpu-memory"]
        )
        foreach (
            var (method, rest) in ((string, string)[])
                [
                    ("POST", "/disable"),
                    ("POST", "/disable?force=1"),
                    ("POST", "/%64isable?force=1"),
                    ("POST", "/set"),
                    ("POST", "/upgrade?remote=x/y"),
                    ("POST", "/enable?timeout=0"),
                    ("POST", "/push"),
                    ("DELETE", ""),
                    ("DELETE", "?force=1"),
                ]
        )
        {
            Denied(method, $"/plugins/{name}{rest}", "[]"u8.ToArray());
            Denied(method, $"/v1.41/plugins/{name}{rest}", "[]"u8.ToArray());
            Denied(method, $"http://x/v1.25/%70lugins/{name}{rest}", "[]"u8.ToArray());
            Denied(method, $"http:/plugins/{name}{rest}", "[]"u8.ToArray());
        }
        Denied("POST", "/plugins/pull?remote=evil/root", "[]"u8.ToArray());
        Assert.That(
            Engine.Docker("plugin", "create", "evil/root", foreign).Error,
            Does.Contain("only admins may change plugins on this machine")
        );
        Assert.That(
            Engine.Docker("plugin", "ls", "--format", "{{.Name}} {{.Enabled}}").Ok(),
            Is.EqualTo($"{Plugin}:latest true")
        );

        Rule(ForAdmins);
        Assert.That(Engine.Docker("plugin", "create", "good/root", foreign).Code, Is.Zero);
        Assert.That(Engine.Docker("plugin", "rm", "good/root").Code, Is.Zero);
        Assert.That(
            Engine.Docker("plugin", "set", Plugin, "LOG_LEVEL=info").Error,
            Does.Not.Contain("denied by plugin").And.Contain("active"),
            "the engine's own word"
        );
        Engine.Docker("plugin", "disable", "-f", Plugin).Ok();
        Assert.That(Try(Body.Gpu).Runs, "the plugin is out of the way");
        Engine.Docker("plugin", "enable", Plugin).Ok();
        Engine.Authorize();
        Assert.That(Try(Body.Gpu).IsRefused, "and back");
        Rule(PolicyFile);
    }

    [Test]
    public void Exec_keeps_the_quota()
    {
        var byEnvironment = Engine.Start(
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.5",
            "-e",
            "LD_PRELOAD=/runai/librunai.so",
            Image,
            "sleep",
            "300"
        );
        var byFile = Engine.Start("-v", "runai:/runai", "--label", "gpu-memory=0.5", Image, "sleep", "300");
        var ran = 0;
        foreach (var id in (string[])[byEnvironment, byFile])
        foreach (
            var more in (string[])
                [
                    "",
                    ""","Env":["LD_PRELOAD="]""",
                    ""","Env":["LD_PRELOAD"]""",
                    ""","Env":["LD_PRELOAD=/x.so"]""",
                    ""","Env":["LD_PRELOAD=/x.so","LD_PRELOADED=/runai/librunai.so"]""",
                    ""","Env":["LD_PRELOAD=/runai/librunai.so","LD_PRELOAD=/x.so"]""",
                    ""","env":["LD_PRELOAD="]""",
                    ""","Env":["A=b"],"Env":["LD_PRELOAD="]""",
                    ""","Env":["RUNAI_QUOTA_TIMEOUT=0"]""",
                    ""","Env":["LD_LIBRARY_PATH=/x"]""",
                    ""","Env":["LD_PRELOAD=/x.so:/runai/librunai.so"]""",
                    ""","Privileged":true""",
                    ""","User":"1000","Env":["HOME=/tmp"]""",
                    ""","Tty":true,"Env":null""",
                ]
        )
        foreach (var target in (string[])["/containers/{0}/exec", "/v1.41/containers/{0}/%65xec"])
        {
            var made = Engine.Raw(
                "POST",
                string.Format(null, target, id),
                Encoding.UTF8.GetBytes(
                    $$"""{"AttachStdout":true,"AttachStderr":true,"Cmd":["{{string.Join("\",\"", SmiQuery)}}"]{{more}}}"""
                )
            );
            if (made.Status != 201)
                continue;
            var shown = Engine.Raw(
                "POST",
                $"/exec/{Attempt.IdIn(made.Body)}/start",
                """{"Detach":false}"""u8.ToArray()
            );
            if (Figures().Match(shown.Body) is not { Success: true } figures)
                continue; // it said no itself
            Assert.That(int.Parse(figures.Groups[1].Value, null), Is.EqualTo(Part(0.5m)), $"{more}: {shown}");
            ran++;
        }
        Assert.That(ran, Is.GreaterThan(20), "most show the quota");
    }

    [GeneratedRegex(@"(\d+), \d+\s")]
    private static partial Regex Figures();

    static byte[] Tar(params TarEntry[] entries)
    {
        using var tar = new MemoryStream();
        using (var writer = new TarWriter(tar, TarEntryFormat.Ustar, leaveOpen: true))
            foreach (var entry in entries)
                writer.WriteEntry(entry);
        return tar.ToArray();
    }

    static UstarTarEntry File_(string name, string text = "") =>
        new(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(Encoding.UTF8.GetBytes(text)) };

    static UstarTarEntry Link(string name, string to) => new(TarEntryType.SymbolicLink, name) { LinkName = to };

    /// <summary>Onto the preload file itself and through links that the container's root made, while it runs and when
    /// it has ended.</summary>
    [Test]
    public void Files_put_into_a_container_that_ran()
    {
        var id = Engine.Start(
            "--name",
            "linked",
            "-v",
            "runai:/runai",
            "--label",
            "gpu-memory=0.5",
            Image,
            "sh",
            "-c",
            "[ -e /tmp/folder ] || ln -s /etc /tmp/folder; [ -e /tmp/file ] || ln -s /etc/ld.so.preload "
                + "/tmp/file; echo ready; exec sleep 300"
        );
        foreach (
            var (path, tar) in ((string, byte[])[])
                [
                    ("/etc", Tar(File_("ld.so.preload"))),
                    ("/tmp/folder", Tar(File_("ld.so.preload", "/lib/x.so"))),
                    ("/tmp", Tar(File_("folder/ld.so.preload"))),
                    ("/tmp", Tar(File_("file"))),
                    ("/", Tar(Link("there", "/etc"), File_("there/ld.so.preload"))),
                    ("/etc", Tar(Link("ld.so.preload", "/tmp/none"))),
                    ("/etc", Tar(Link("ld.so.preload", "/proc/self/environ"))),
                    ("/", [.. Tar(File_("etc/ld.so.preload"))[..512], .. new byte[512].Select(_ => (byte)'x')]),
                    ("/runai", Tar(File_("quota", "version=1\nlimit=1\n"))),
                    ("/runai/usage", Tar(File_("ledger", "x"))),
                    ("/", Tar(File_("runai/librunai.so"))),
                    ("/proc/1/root/etc", Tar(File_("ld.so.preload"))),
                ]
        )
        {
            Engine.Raw("PUT", $"/containers/{id}/archive?path={path}", tar, "Content-Type: application/x-tar");
            Assert.That(Attempt.FindBreach(Engine, id, Most), Is.Null, $"{path}, running");
            Engine.Raw("POST", $"/containers/{id}/stop?t=0");
            Engine.Raw("PUT", $"/containers/{id}/archive?path={path}", tar, "Content-Type: application/x-tar");
            Assert.That(Engine.Raw("POST", $"/containers/{id}/start").Status, Is.EqualTo(204).Or.EqualTo(403), path);
            Assert.That(Attempt.FindBreach(Engine, id, Most), Is.Null, $"{path}, stopped and started");
        }
    }

    [Test]
    public void Volumes_that_carry_quotas()
    {
        Rule(ForAdmins);
        Engine.Docker("volume", "create", "-d", Plugin, "-o", "gpu-memory=0.1", "tenth").Ok();
        Rule(PolicyFile);
        foreach (
            var target in (string[])
                [
                    "/volumes/tenth",
                    "/volumes/tenth?force=1",
                    "/v1.41/volumes/runai",
                    "/%76olumes/runai?force=true",
                    "http://x/volumes/t%65nth",
                ]
        )
            Denied("DELETE", target);
        foreach (var name in (string[])["runai", "tenth"])
            Denied("POST", "/volumes/create", Encoding.UTF8.GetBytes($$"""{"Name":"{{name}}","Driver":"local"}"""));
        var container = Engine
            .Docker("create", "--network", "none", "--gpus", "1", "-v", "tenth:/runai", Image, "sleep", "300")
            .Ok();
        Engine.Docker("volume", "prune", "-f").Ok();
        Engine.Raw("POST", "/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D");
        Engine.Raw("POST", $"/containers/{container}/start");
        Assert.That(Engine.Smi(container).Total, Is.EqualTo(Part(0.1m)), "what is in use stays");
        Engine.Docker("rm", "-f", container).Ok();

        // When an admin takes it away, it may come back as something else.
        Rule(ForAdmins);
        Engine.Docker("volume", "rm", "tenth").Ok();
        Rule(PolicyFile);
        foreach (
            var options in (string[])
                ["-d local", $"-d {Plugin} -o gpu-memory=1", "-o type=none -o o=bind -o device=/dev"]
        )
        {
            Engine.Docker(["volume", "create", .. options.Split(' '), "tenth"]);
            var attempt = Try(Body.Gpu.Binds("tenth:/runai"));
            Assert.That((attempt.Breach, attempt.Runs), Is.EqualTo(((string?)null, false)), $"{options}: {attempt}");
            if (attempt.Id is { } id)
                Engine.Docker("rm", "-f", id).Ok();
            Rule(ForAdmins);
            Engine.Docker("volume", "rm", "tenth").Ok();
            Rule(PolicyFile);
        }
    }

    [Test]
    public void An_image_that_was_built()
    {
        foreach (
            var (dockerfile, labels, body) in ((string, string, Body)[])
                [
                    ("LABEL gpu-memory=1", "", Body.Gpu.Volume()),
                    ("", "gpu-memory", Body.Gpu.Volume()),
                    ("LABEL gpu-memory=0.5\nLABEL gpu-memory=1", "", Body.Gpu.Volume()),
                    ("LABEL gpu-memory=0.5", "", Body.Gpu),
                    ("ENV NVIDIA_VISIBLE_DEVICES=all", "", Body.Plain.Runtime("nvidia")),
                    ("ENV LD_PRELOAD=/x.so", "", Body.Gpu.Volume().Quota("0.5")),
                    ("VOLUME /runai", "", Body.Gpu.Quota("0.5")),
                    ("VOLUME /etc", "", Body.Gpu.Volume().Quota("0.5")),
                    ("RUN ln -s /tmp/none /etc/ld.so.preload", "", Body.Gpu.Volume().Quota("0.5")),
                    ("RUN mkdir -p /etc/ld.so.preload", "", Body.Gpu.Volume().Quota("0.5")),
                ]
        )
        {
            var query = labels.Length == 0 ? "" : "&labels=" + Uri.EscapeDataString("""{"gpu-memory":"1"}""");
            var built = Engine.Raw(
                "POST",
                $"/build?t=built&networkmode=none{query}",
                Tar(File_("Dockerfile", $"FROM {Image}\n{dockerfile}\n")),
                "Content-Type: application/x-tar"
            );
            Assert.That(built.Body, Does.Contain("Successfully tagged"), dockerfile);
            var attempt = Try(body.Image("built"));
            Assert.That(attempt.Breach, Is.Null, $"{dockerfile}: {attempt}");
        }
    }
}
