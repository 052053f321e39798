// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests;

/// <summary>What is wrong: faults that are planted, and what is left of them once they are mended.</summary>
sealed partial class StatusTests
{
    static readonly string[] Planted =
    [
        "policy ",
        "runtime ",
        "sandbox boxed",
        "shim boxed",
        "shim musl",
        "shim old",
        "shim static",
        "static musl",
        "static static",
        "toolkit ",
        "toolkit ",
    ];

    /// <summary>The checks, each with its container.</summary>
    string[] ProblemsNow() =>
        [
            .. Read("runai-status")
                .GetProperty("Problems")
                .EnumerateArray()
                .Select(one => $"{one.GetProperty("Check")} {one.GetProperty("Container")}")
                .Order(StringComparer.Ordinal),
        ];

    /// <summary>Programs that no preload reaches: one is static, one of musl.</summary>
    void ImportUnreached() =>
        Shell
            .Run(
                "sh",
                "-ec",
                """
                mkdir -p "$1/lib"
                gcc -static -O1 -o "$1/static" "$0"
                musl-gcc -O1 -o "$1/musl" "$0"
                cp -L /lib/ld-musl-x86_64.so.1 "$1/lib/"
                tar -C "$1" -cf "$1.tar" .
                """,
                Repository.Script("guest/hello.c"),
                Engine.PathOf("unreached")
            )
            .Ok();

    void StartWithQuota(string name, params string[] more) =>
        Engine.Start(["--name", name, "-v", "runai:/runai", "--label", "gpu-memory=0.1", .. more]);

    [Test]
    public void Planted_faults_are_problems_until_they_are_mended()
    {
        ImportUnreached();
        Engine.Docker("import", Engine.PathOf("unreached.tar"), "unreached").Ok();
        var asked = $"\"authorization-plugins\": [\"{Plugin}\"]";
        var runtimes = "\"runtimes\": {\"nvidia\": {\"path\": \"runc\"}, \"runsc\": {\"path\": \"runc\"}}";
        Engine.Configure($"{{{asked}, {runtimes}, \"default-runtime\": \"nvidia\"}}");
        StartWithQuota("old", Image, "sleep", "600");
        StartWithQuota("boxed", "--runtime", "runsc", Image, "sleep", "600");
        StartWithQuota("static", "unreached", "/static", "stay");
        StartWithQuota("musl", "unreached", "/musl", "stay");
        Directory.CreateDirectory(Engine.PathOf("usr/bin"));
        File.Copy(Sim("libnvidia-ml.so.1"), Engine.PathOf("usr/libnvidia-ml.so.1"), overwrite: true);
        File.WriteAllText(
            Engine.PathOf("usr/bin/nvidia-ctk"),
            "-X github.com/NVIDIA/nvidia-container-toolkit/internal/info.version=1.17.7 "
        );
        var configuration =
            Directory.CreateDirectory(Engine.PathOf("etc/nvidia-container-runtime")).FullName + "/config.toml";
        File.WriteAllText(configuration, "swarm-resource = \"MY_GPUS\"\n");
        Engine.Enforce("""{ "requireQuota": true }""");
        var log = Engine.Log.Length;
        var shim = Path.Combine(Engine.PluginRoot, "usr/lib/runai/librunai.so");
        var kept = File.ReadAllBytes(shim);
        Exchange(Engine.PathOf("usr"), [.. kept, 0], shim);
        Engine.Configure($"{{{asked}, {runtimes}, \"default-runtime\": \"nvidia\"}}");
        Engine.WritePolicy("{ no");
        string[] found = [];
        Eventually(
            () => (found = ProblemsNow()).SequenceEqual(Planted),
            () => $"all that is planted: {string.Join(", ", found)}"
        );
        for (var n = 0; n < 3; n++)
            ProblemsNow();
        Assert.That(
            Engine
                .Log[log..]
                .Split('\n')
                .Count(line => line.Contains("warning 701: problem check=", StringComparison.Ordinal)),
            Is.EqualTo(Planted.Length),
            "each is logged once"
        );

        Engine.WritePolicy(null);
        File.Delete(configuration);
        Engine.Configure($"{{{asked}, \"default-runtime\": \"runc\"}}");
        RemoveContainers();
        Exchange(Sim(""), kept, shim);
        Eventually(() => (found = ProblemsNow()).Length == 0, () => $"nothing is left: {string.Join(", ", found)}");
    }

    /// <summary>Another /usr of the host, and another version of the plugin's shim.</summary>
    void Exchange(string usr, byte[] content, string shim) =>
        Engine.TakePluginAway(() =>
        {
            Engine.Docker("plugin", "set", Plugin, $"driver.source={usr}").Ok();
            File.WriteAllBytes(shim, content);
        });
}
