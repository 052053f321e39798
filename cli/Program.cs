// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Checks;
using Runai.GpuMemory.Cli.Commands;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Completion;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Help;
using Runai.GpuMemory.Cli.Tables;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli;

/// <summary>runai-docker, and as a plugin of the docker CLI <c>docker runai</c>: docker, with one option more for
/// <c>run</c> and <c>create</c>, and commands of its own. All else goes to docker as it is.</summary>
static class Program
{
    const string Metadata = "Run containers with a part of the GPU memory (--gpu-memory)";

    static int Main(string[] args)
    {
        // .NET ignores it, and what is started would inherit that.
        _ = Libc.Signal(Libc.SigPipe, 0);
        try
        {
            return Run(RawArguments.Read(args.Length));
        }
        catch (UserException e)
        {
            Standard.Error.WriteLine($"runai-docker: {Printable.Lines(e.Message)}");
            return e.ExitCode;
        }
    }

    static int Run(RawArguments arguments)
    {
        var words = arguments.Words;
        if (words is [var metadata, ..] && metadata.Is("docker-cli-plugin-metadata"u8))
            return PrintMetadata();
        var isPlugin = PluginName.IsProgram(arguments.Program);
        if (isPlugin)
            words = PluginName.Drop(words);
        var line = new DockerLine(words);
        if (line.CommandAt is { } at)
        {
            var command = words[at].Text();
            if (command is "__complete" or "__completeNoDesc")
                return Complete(words[at], [.. words[..at], .. words[(at + 1)..]], isPlugin);
            if (OwnCommands.Have(command, isPlugin))
                return RunOwn(words[..at], words[at..]);
            if (command == "help" && words.Length > at + 1 && OwnCommands.Have(words[at + 1].Text(), isPlugin))
                return RunOwn([], [.. words[(at + 1)..], "--help"u8.ToArray()]);
        }

        if (DockerHelp.IsAskedBy(line))
            return DockerHelp.Show(
                new(DockerProcess.Default),
                line.ForDocker(),
                OwnCommands.Descriptions(isPlugin),
                isPlugin
            );
        if (isPlugin && line.CommandAt is { } unknown)
            ThrowIfUnknown(words[..unknown], words[unknown]);
        throw new DockerProcess(DockerProcess.Default).Replace(line.ForDocker());
    }

    static int RunOwn(byte[][] globals, byte[][] words)
    {
        using var interruption = new Interruption();
        var docker = new DockerProcess(DockerProcess.Default, GlobalOptions.Read(globals), interruption);
        return OwnCommands.Run(
            OwnLine.Read(words, docker) with
            {
                Terminal = Terminal.OfOutput(),
                Installation = Installation.OfProcess(),
            }
        );
    }

    static void ThrowIfUnknown(byte[][] globals, byte[] command)
    {
        var docker = new DockerProcess(DockerProcess.Default, GlobalOptions.Read(globals));
        if (UnknownCommand.Find(docker, command, OwnCommands.Descriptions(isPlugin: true)) is { } problem)
            throw problem;
    }

    static int Complete(byte[] request, byte[][] words, bool isPlugin)
    {
        using var output = Console.OpenStandardOutput();
        output.Write(new Completions(new(DockerProcess.Default), request, isPlugin).Of(words));
        return 0;
    }

    static int PrintMetadata()
    {
        Console.Out.Write(
            $$"""
            {"SchemaVersion":"0.1.0","Vendor":"runai","Version":"{{ProgramVersion.Text}}","ShortDescription":"{{Metadata}}"}

            """
        );
        return 0;
    }
}
