// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Questions;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>policy check</c>.</summary>
sealed class PolicyCheckCommand : Command
{
    readonly Argument<string?> _file = new("FILE") { Arity = ArgumentArity.ZeroOrOne };

    public PolicyCheckCommand(OwnLine line)
        : base(
            "check",
            "Print whether FILE is a policy, and what is wrong with it; without FILE, the policy in force.\n"
                + "Exit code 0: it is a policy, 1: refused, 2: no answer."
        )
    {
        Arguments.Add(_file);
        TreatUnmatchedTokensAsErrors = false;
        SetAction(parse => Run(line, parse));
    }

    int Run(OwnLine line, ParseResult parse)
    {
        if (parse.UnmatchedTokens.Count > 0)
            throw new UserException("policy check takes one file");
        var headers = new QuestionHeaders(Policy: PolicyCommand.Read(parse.GetValue(_file)));
        var answer = line.Channel.AskPolicy(headers).OfPolicy;
        return PolicyCommand.Print(answer, parse.InvocationConfiguration.Output);
    }
}
