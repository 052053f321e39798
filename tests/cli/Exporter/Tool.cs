// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Exporter;

/// <summary>Programs of Debian that read what is made for them.</summary>
static class Tool
{
    /// <summary>Installs it where it is missing, and runs it in a folder.</summary>
    public static Output Run(string folder, string program, params string[] words)
    {
        var need = new DockerProcess(Word.Of(Path.Combine(Built.Root, "tools/need"))).Capture([Word.Of(program)]);
        return need.Code != 0
            ? need
            : new DockerProcess("env"u8.ToArray()).Capture([
                "-C"u8.ToArray(),
                Word.Of(folder),
                Word.Of(program),
                .. words.Select(Word.Of),
            ]);
    }
}
