// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>policy ask</c>: its options come before docker's words, which it hands on as they are.</summary>
sealed class PolicyAskCommand : Command
{
    /// <summary>What can be asked about. The rest calls the engine in ways that the plugin does not answer.</summary>
    public static readonly string[] Known = ["run", "create", "start", "restart", "exec", "service", "container"];

    static readonly string[] WithValue = ["--user", "--policy"];
    static readonly string[] Help = ["--help", "-h"];

    readonly Option<string?> _user = new("--user")
    {
        HelpName = "NAME",
        Description = "Ask for the user with this TLS name. For admins.",
    };

    readonly Option<string?> _policy = new("--policy")
    {
        HelpName = "FILE",
        Description = "Ask as if FILE were the policy. For admins.",
    };

    public PolicyAskCommand(OwnLine line)
        : base(
            "ask",
            "Print whether the plugin would allow COMMAND, and why, without running it.\n"
                + "COMMAND is run, create, start, restart, exec or service, with its options.\n"
                + "Exit code 0: it would be allowed, 1: refused, 2: no answer."
        )
    {
        Options.Add(_user);
        Options.Add(_policy);
        Arguments.Add(new Argument<string[]>("COMMAND") { Arity = ArgumentArity.ZeroOrMore });
        SetAction(parse => Run(line, parse));
    }

    /// <summary>How many words behind <c>policy ask</c> are its own.</summary>
    public static int OwnOptions(ReadOnlySpan<byte[]> words)
    {
        var n = 0;
        while (n < words.Length && OwnLength(words[n]) is var length and > 0)
            n += length;
        return Math.Min(n, words.Length);
    }

    static int OwnLength(byte[] word)
    {
        if (word.IsOneOf(WithValue))
            return 2;
        return word.IsOneOf(Help) || word.Begins("--user="u8) || word.Begins("--policy="u8) ? 1 : 0;
    }

    int Run(OwnLine line, ParseResult parse)
    {
        var headers = new QuestionHeaders(parse.GetValue(_user), PolicyCommand.Read(parse.GetValue(_policy)));
        var words = line.ForDocker is [var first, .. var rest] && first.Is("docker"u8) ? rest : line.ForDocker;
        Check(words is [] ? "" : words[0].Text());
        var answer = line.Channel.AskCommand(headers, new DockerLine(words).ForDocker());
        return PolicyCommand.Print(answer, parse.InvocationConfiguration.Output);
    }

    /// <summary>No option before the command: --config would take the headers away, --host and --context lead to
    /// another engine than the one asked first.</summary>
    static void Check(string command)
    {
        if (command.StartsWith('-'))
            throw new UserException(
                $"policy ask takes no option {command} before the command: "
                    + "say by DOCKER_HOST, DOCKER_CONTEXT or DOCKER_CONFIG which engine"
            );
        if (!Known.Contains(command))
            throw new UserException($"policy ask knows run, create, start, restart, exec and service, not '{command}'");
    }
}
