// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Common;

/// <summary>What the user has to know instead of an answer.</summary>
/// <param name="message">What is wrong, on which object, what to type.</param>
/// <param name="exitCode">2: no answer, as of `policy`; 125 to 127 as docker and shells use them.</param>
sealed class UserException(string message, int exitCode = 2) : Exception(message)
{
    /// <summary>The exit code that this program ends with.</summary>
    public int ExitCode => exitCode;
}
