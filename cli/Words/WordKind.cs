// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Words;

/// <summary>What a word is at its place in a command line of docker's.</summary>
enum WordKind
{
    /// <summary>An option before the command.</summary>
    Global,

    /// <summary>The command, and behind <c>container</c> the next one.</summary>
    Command,

    /// <summary>An option of <c>run</c> or <c>create</c>.</summary>
    Option,

    /// <summary>The value of one of docker's options, as a word of its own.</summary>
    Value,

    /// <summary><c>--gpu-memory</c>, with or without its value.</summary>
    Quota,

    /// <summary>The value of <c>--gpu-memory</c>, as a word of its own.</summary>
    QuotaValue,

    /// <summary>The image, its command, and all words of other commands.</summary>
    Rest,
}
