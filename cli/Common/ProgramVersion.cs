// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;

namespace Runai.GpuMemory.Cli.Common;

/// <summary>The version in Directory.Build.props, when this program was built.</summary>
static class ProgramVersion
{
    /// <summary>Three numbers, as in <c>0.1.0</c>.</summary>
    public static string Text { get; } = typeof(ProgramVersion).Assembly.GetName().Version!.ToString(3);

    /// <summary>The processor that it was built for, as Docker names it: <c>amd64</c>.</summary>
    public static string Processor { get; } =
        RuntimeInformation.ProcessArchitecture switch
        {
            Architecture.X64 => "amd64",
            var other => other.ToString().ToLowerInvariant(),
        };
}
