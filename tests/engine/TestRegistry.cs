// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;

namespace Runai.GpuMemory.EngineTests;

/// <summary>Debian's docker-registry beside an engine, on the loopback address of the engine's network
/// namespace.</summary>
sealed class TestRegistry : IDisposable
{
    public const string Address = "127.0.0.1:5000";

    readonly string _folder = Directory.CreateTempSubdirectory("gpu-registry-").FullName;
    readonly Process _program;

    public TestRegistry(TestEngine engine)
    {
        Shell.Run(Path.Combine(Repository.Root, "tools/need"), "docker-registry").Ok();
        var configuration = Path.Combine(_folder, "config.yml");
        File.WriteAllText(
            configuration,
            $$"""
            version: 0.1
            log: { level: error, accesslog: { disabled: true } }
            storage: { filesystem: { rootdirectory: "{{_folder}}" } }
            http: { addr: "{{Address}}" }

            """
        );
        _program = Process.Start(
            new ProcessStartInfo(
                "nsenter",
                [$"--net=/proc/{engine.Keeper}/ns/net", "--", "docker-registry", "serve", configuration]
            )
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            }
        )!;
        TestEngine.Eventually(
            () => engine.InNetwork("bash", "-c", $": </dev/tcp/{Address.Replace(':', '/')}").Code == 0,
            "the registry listens"
        );
    }

    /// <summary>The tags of a repository, each with the digest of what it means.</summary>
    public IReadOnlyDictionary<string, string> Tags(string repository) =>
        Directory
            .GetDirectories(Path.Combine(_folder, "docker/registry/v2/repositories", repository, "_manifests/tags"))
            .ToDictionary(tag => Path.GetFileName(tag), tag => File.ReadAllText(Path.Combine(tag, "current/link")));

    public void Dispose()
    {
        _program.Kill();
        _program.WaitForExit();
        _program.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
