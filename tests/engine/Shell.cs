// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;

namespace Runai.GpuMemory.EngineTests;

/// <summary>What a command printed and how it ended.</summary>
sealed record Output(int Code, string Out, string Error)
{
    public string All => Out + Error;

    /// <summary>The output of a command that must have succeeded.</summary>
    public string Ok()
    {
        if (Code != 0)
            throw new InvalidOperationException($"exit code {Code}: {All}");
        return Out.TrimEnd('\n');
    }
}

/// <summary>Runs commands of the host.</summary>
static class Shell
{
    static readonly TimeSpan Deadline = TimeSpan.FromMinutes(3);

    public static Output Run(
        IEnumerable<KeyValuePair<string, string>> environment,
        string command,
        params IEnumerable<string> arguments
    )
    {
        var start = new ProcessStartInfo(command, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(Deadline))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException(
                $"{command} {string.Join(' ', start.ArgumentList)} did not end within {Deadline}"
            );
        }

        return new Output(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    public static Output Run(string command, params IEnumerable<string> arguments) => Run([], command, arguments);
}
