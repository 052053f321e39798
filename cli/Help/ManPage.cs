// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using System.Text;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Help;

/// <summary>runai-docker(1), of the descriptions that the help has.</summary>
static class ManPage
{
    /// <summary>The page in roff.</summary>
    /// <param name="root">This program's own commands.</param>
    /// <param name="version">Of the program.</param>
    public static string Of(Command root, string version) =>
        $$"""
            .TH RUNAI-DOCKER 1 "" "runai-docker {{version}}" "User Commands"
            .SH NAME
            runai-docker \- docker with a quota of GPU memory
            .SH SYNOPSIS
            .B runai-docker
            .RB { run | create }
            .RB [ \-\-gpu\-memory
            .IR QUOTA ]
            .RI [ OPTIONS "] " "IMAGE " [ COMMAND ]
            .br
            {{Synopses(root)}}.B runai-docker
            .I COMMAND
            .SH DESCRIPTION
            .B runai-docker
            runs
            .BR docker (1)
            and adds one option to
            .B run
            and
            .BR create ,
            and the commands below.
            All other commands and options go to docker unchanged.
            Installed as a plugin of the Docker CLI, the same commands are
            .BR "docker runai" .
            .SH OPTIONS
            .TP
            .BI \-\-gpu\-memory " QUOTA"
            {{Roff(GpuMemoryOption.Description)}}: a fraction of each GPU, or a size.
            Same as
            .BI "\-v runai:/runai \-\-label gpu-memory=" QUOTA\fR.
            .SH COMMANDS
            {{Commands(root)}}.SH EXIT STATUS
            Of
            .BR policy :
            0 if allowed or valid, 1 if refused, 2 if there is no answer.
            Of
            .BR doctor :
            0 if there is no problem, 1 if there are problems, 2 if the engine or the plugin gives no answer.
            Of
            .BR ps ,
            .B stats
            and
            .BR gpus :
            2 if the engine has no plugin that answers.
            Of
            .BR exporter :
            0 when a signal ends it, 1 if it cannot listen.
            Of all other commands: that of docker.
            .SH ENVIRONMENT
            .TP
            .B RUNAI_DOCKER
            The docker program to run; by default
            .BR docker .
            .P
            Docker's own variables, such as
            .BR DOCKER_HOST ,
            apply.
            .SH EXAMPLES
            .EX
            runai-docker run \-\-gpus 1 \-\-gpu\-memory 0.5 pytorch/pytorch python train.py
            docker runai ps
            runai-docker policy ask run \-\-gpus 1 \-\-gpu\-memory 20g pytorch/pytorch
            .EE
            .SH SEE ALSO
            .BR docker-run (1)
            .P
            The documentation: https://github.com/runai/gpu-memory

            """;

    static string Synopses(Command root) =>
        string.Concat(OwnHelp.Leaves(root).Select(command => $"{Roff(OwnHelp.Usage(command))}\n.br\n"));

    static string Commands(Command root)
    {
        var page = new StringBuilder();
        foreach (var command in OwnHelp.Leaves(root))
        {
            page.Append($".TP\n.B {Roff(OwnHelp.ShortUsage(command))}\n");
            page.Append($"{Roff(command.Description ?? "")}\n");
            if (!OwnHelp.Options(command).Any())
                continue;
            page.Append(".RS\n");
            foreach (var option in OwnHelp.Options(command))
                page.Append($".TP\n.B {Roff(OwnHelp.Spelling(option))}\n{Roff(option.Description ?? "")}\n");
            page.Append(".RE\n");
        }

        return page.ToString();
    }

    /// <summary>Text as roff prints it unchanged: a dash is no hyphen.</summary>
    static string Roff(string text) =>
        text.Replace("\\", "\\e", StringComparison.Ordinal).Replace("-", "\\-", StringComparison.Ordinal);
}
