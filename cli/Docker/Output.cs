// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Docker;

/// <summary>What docker printed and how it ended.</summary>
/// <param name="Code">Its exit code, or 128 and the signal that ended it.</param>
/// <param name="Out">Its standard output.</param>
/// <param name="Error">Its standard error.</param>
sealed record Output(int Code, byte[] Out, byte[] Error)
{
    /// <summary>Both, without line feeds at the end.</summary>
    public string Text => (Out.Text() + Error.Text()).TrimEnd('\n');
}
