// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests;

/// <summary>The program as it is built, and stand-ins for docker.</summary>
static class Built
{
    public static string Root { get; } = FindRoot();

    /// <summary>build/cli/runai-docker.</summary>
    public static string Program
    {
        get
        {
            var path = Path.Combine(Root, "build/cli/runai-docker");
            Assert.That(path, Does.Exist, "run `make cli` first");
            return path;
        }
    }

    /// <summary>Runs the program with a docker of one's own.</summary>
    /// <param name="docker">The path of the docker that it calls.</param>
    /// <param name="words">Bytes, as a shell hands them over.</param>
    public static Output Run(string docker, params IEnumerable<byte[]> words) =>
        new DockerProcess("env"u8.ToArray()).Capture([Word.Of($"RUNAI_DOCKER={docker}"), Word.Of(Program), .. words]);

    public static Output Run(string docker, string line) => Run(docker, line.Split(' ').Select(Word.Of));

    /// <summary>A docker that is a script of the shell.</summary>
    public static string Script(string folder, string text)
    {
        var path = Path.Combine(folder, $"docker-{Guid.NewGuid():N}");
        File.WriteAllText(path, $"#!/bin/sh\n{text}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }

    static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "RunaiPlugin.sln")))
            folder = Path.GetDirectoryName(folder)!;
        return folder;
    }
}
