// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>completion</c>: prints the script that a shell completes this program with.</summary>
sealed class CompletionCommand : Command
{
    readonly Argument<string> _shell = new("SHELL") { Description = "bash, zsh or fish" };

    public CompletionCommand()
        : base("completion", "Print the completion script of SHELL: bash, zsh or fish")
    {
        _shell.AcceptOnlyFromAmong("bash", "zsh", "fish");
        Arguments.Add(_shell);
        SetAction(parse => Print(parse.GetRequiredValue(_shell), parse.InvocationConfiguration.Output));
    }

    static int Print(string shell, TextWriter output)
    {
        using var script = typeof(CompletionCommand).Assembly.GetManifestResourceStream($"runai-docker.{shell}")!;
        using var reader = new StreamReader(script);
        output.Write(reader.ReadToEnd());
        return 0;
    }
}
