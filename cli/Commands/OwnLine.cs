// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Runai.GpuMemory.Cli.Checks;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Tables;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary>The words of a command of ours, and what it asks with.</summary>
/// <param name="Words">From the command on; of <c>policy ask</c> without those that are docker's.</param>
/// <param name="ForDocker">Those that are docker's, as bytes.</param>
/// <param name="Docker">The docker that it runs.</param>
sealed record OwnLine(string[] Words, byte[][] ForDocker, DockerProcess? Docker)
{
    static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    /// <summary>For those who only read the descriptions.</summary>
    public static OwnLine Empty { get; } = new([], [], null);

    /// <summary>What the command prints to.</summary>
    public Terminal Terminal { get; init; } = Terminal.None;

    /// <summary>Where this program is, for <c>doctor</c>.</summary>
    public Installation Installation { get; init; } = Installation.None;

    /// <summary>The docker that it runs.</summary>
    /// <exception cref="InvalidOperationException">The line is the empty one.</exception>
    public DockerProcess DockerOrThrow => Docker ?? throw new InvalidOperationException("a description asks nothing");

    /// <summary>What asks the plugin by the docker of this line.</summary>
    /// <exception cref="InvalidOperationException">The line is the empty one.</exception>
    public QuestionChannel Channel => new(DockerOrThrow);

    /// <summary>Divides the words into this program's own, which have to be UTF-8, and docker's.</summary>
    /// <param name="words">From the command on.</param>
    /// <param name="docker">The docker that the command runs.</param>
    /// <exception cref="UserException">A word of ours is not UTF-8.</exception>
    public static OwnLine Read(byte[][] words, DockerProcess? docker)
    {
        var own =
            words is [var policy, var ask, ..] && policy.Is("policy"u8) && ask.Is("ask"u8)
                ? 2 + PolicyAskCommand.OwnOptions(words.AsSpan(2))
                : words.Length;
        return new([.. words[..own].Select(Text)], words[own..], docker);
    }

    static string Text(byte[] word)
    {
        try
        {
            return Strict.GetString(word);
        }
        catch (DecoderFallbackException)
        {
            throw new UserException($"'{word.Text()}' is not UTF-8");
        }
    }
}
