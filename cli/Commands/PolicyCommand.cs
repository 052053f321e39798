// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Questions;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>policy</c>: questions to the plugin, for which it must be in the engine's
/// authorization-plugins.</summary>
sealed class PolicyCommand : Command
{
    const string Forms = "policy ask [--user NAME] [--policy FILE] run ..., or policy check [FILE]";

    public PolicyCommand(OwnLine line)
        : base("policy", "Ask the plugin about a command or a policy; nothing is done")
    {
        Subcommands.Add(new PolicyAskCommand(line));
        Subcommands.Add(new PolicyCheckCommand(line));
        TreatUnmatchedTokensAsErrors = false;
        SetAction(int (ParseResult _) => throw new UserException(Forms));
    }

    /// <summary>Prints an answer.</summary>
    /// <returns>Its exit code.</returns>
    public static int Print(Answer answer, TextWriter output)
    {
        output.WriteLine(answer.Text);
        return answer.ExitCode;
    }

    /// <summary>A policy file as bytes; null: none is named.</summary>
    /// <exception cref="UserException">It cannot be read.</exception>
    public static byte[]? Read(string? file)
    {
        if (file is null)
            return null;
        try
        {
            return File.ReadAllBytes(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UserException($"there is no file {file} to read");
        }
    }
}
