// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Commands;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.Cli.Completion;

/// <summary>Candidates for the last word of a command line, as docker's __complete prints them.</summary>
/// <param name="docker">Completes what is docker's.</param>
/// <param name="request">__complete, or __completeNoDesc for candidates without descriptions.</param>
/// <param name="isPlugin">Whether the docker CLI called this program as its plugin.</param>
sealed class Completions(DockerProcess docker, byte[] request, bool isPlugin = false)
{
    /// <summary>The candidates, one a line, and docker's directive.</summary>
    /// <param name="words">The last one is completed; it may be empty.</param>
    public byte[] Of(byte[][] words)
    {
        var current = words is [.., var last] ? last : [];
        byte[][] before = words is [.. var others, _] ? others : [];
        if (new DockerLine(before).CommandAt is { } at && OwnCommands.Have(before[at].Text(), isPlugin))
            return OfOwn(OwnLine.Read(before[at..], docker: null), current);
        var quota = new Candidates([(GpuMemoryOption.Name, GpuMemoryOption.Description)]);
        return KindOf(before, current) switch
        {
            WordKind.QuotaValue => Print(Candidates.None, current),
            WordKind.Quota when GpuMemoryOption.HoldsValue(current) => Print(Candidates.None, current),
            _ when KindOf(before, "policy"u8.ToArray()) is WordKind.Command =>
            [
                .. Lines(new(OwnCommands.Descriptions(isPlugin)), current),
                .. Word.Of(WithoutOurs(OfDocker(before, current).Text())),
            ],
            _ when current.Begins("-"u8) && KindOf(before, Word.Of(GpuMemoryOption.Name)) is WordKind.Quota =>
            [
                .. Lines(quota, current),
                .. OfDocker(before, current),
            ],
            _ => OfDocker(before, current),
        };
    }

    byte[] OfOwn(OwnLine line, byte[] current)
    {
        if (line.ForDocker is [])
            return Print(OwnCompletion.Of(line, current.Text()), current);
        return Of([.. line.ForDocker[0].Is("docker"u8) ? line.ForDocker[1..] : line.ForDocker, current]);
    }

    /// <summary>What a word would be behind others.</summary>
    static WordKind KindOf(byte[][] before, byte[] word) => new DockerLine([.. before, word]).LastKind;

    /// <summary>Docker does not know --gpu-memory.</summary>
    byte[] OfDocker(byte[][] before, byte[] current) =>
        docker.Capture([request, .. new DockerLine(before).WithoutQuota(), current]).Out;

    /// <summary>Docker's commands, but for those that are ours here.</summary>
    string WithoutOurs(string lines) =>
        string.Concat(
            lines
                .Split('\n')
                .Where(line => !OwnCommands.Have(line.Split('\t')[0], isPlugin))
                .Select(line => line + "\n")
        )[..^1];

    byte[] Print(Candidates candidates, byte[] current) =>
        [.. Lines(candidates, current), .. Word.Of(candidates.Directive)];

    byte[] Lines(Candidates candidates, byte[] current) =>
        Word.Of((request.Is("__completeNoDesc"u8) ? candidates.WithoutDescriptions : candidates).Lines(current.Text()));
}
