// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Cli.Completion;

/// <summary>What a word may become.</summary>
/// <param name="All">Each with its description, which may be empty.</param>
/// <param name="OrFiles">Whether a name of a file is right as well.</param>
sealed record Candidates(IReadOnlyList<(string Name, string Description)> All, bool OrFiles = false)
{
    /// <summary>No candidates, and no names of files.</summary>
    public static Candidates None { get; } = new([]);

    /// <summary>Names of files, which the shell finds.</summary>
    public static Candidates Files { get; } = new([], OrFiles: true);

    /// <summary>As __completeNoDesc prints them.</summary>
    public Candidates WithoutDescriptions => this with { All = [.. All.Select(candidate => (candidate.Name, ""))] };

    /// <summary>As docker prints them: one a line, with its description behind a tab.</summary>
    /// <param name="begin">What they begin with.</param>
    public string Lines(string begin) =>
        string.Concat(
            from candidate in All
            where candidate.Name.StartsWith(begin, StringComparison.Ordinal)
            select candidate.Description.Length == 0
                ? $"{candidate.Name}\n"
                : $"{candidate.Name}\t{candidate.Description.Split('\n')[0]}\n"
        );

    /// <summary>Docker's last line, which tells the shell what to do without candidates: 4 is nothing, 0 is to complete
    /// the name of a file.</summary>
    public string Directive => OrFiles ? ":0\n" : ":4\n";
}
