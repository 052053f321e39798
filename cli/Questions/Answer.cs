// SPDX-License-Identifier: Apache-2.0
using System.Text.RegularExpressions;

namespace Runai.GpuMemory.Cli.Questions;

/// <summary>What the plugin answered, as lines.</summary>
sealed partial record Answer(string Text)
{
    static readonly string[] Begins = ["would be", "cannot be answered", "a policy", "no policy", "refused"];

    /// <summary>0: it would be allowed, or is a policy. 1: refused. 2: no answer.</summary>
    public int ExitCode =>
        Text switch
        {
            _ when Begin("would be allowed") || Begin("a policy") || Begin("no policy file") => 0,
            _ when Begin("would be refused") || Begin("refused") => 1,
            _ => 2,
        };

    /// <summary>Whether the policy that was asked about is none, so that nothing can be judged by it. "refused: " is
    /// the file on disk, beside which the last good policy stays in force.</summary>
    public bool IsNoPolicy => Begin("cannot be answered") || Begin("refused") && !Begin("refused: ");

    /// <summary>Without its last line, which says that it was a question.</summary>
    public Answer OfPolicy =>
        new(
            string.Join(
                '\n',
                Text.Split('\n').Where(line => !line.StartsWith("nothing was done", StringComparison.Ordinal))
            )
        );

    bool Begin(string text) => Text.StartsWith(text, StringComparison.Ordinal);

    /// <summary>Finds the plugin's lines in what docker printed.</summary>
    /// <returns>Null: there are none.</returns>
    public static Answer? FindIn(string printed)
    {
        var found = new List<string>();
        foreach (var line in printed.Split('\n').Select(line => Denial().Replace(line, "")))
        {
            if (found.Count == 0 && !Begins.Any(begin => line.StartsWith(begin, StringComparison.Ordinal)))
                continue;
            found.Add(Question().Replace(line, "$1"));
            if (found.Count > 1 && line.StartsWith("nothing was done", StringComparison.Ordinal))
                break;
        }

        return found.Count == 0 ? null : new(string.Join('\n', found).TrimEnd('\n'));
    }

    /// <summary>What the engine puts before the plugin's words.</summary>
    [GeneratedRegex("^.*denied by plugin [^ ]*: ")]
    private static partial Regex Denial();

    /// <summary>The engine's full stop behind the plugin's last line.</summary>
    [GeneratedRegex(@"^(nothing was done.*question)\.$")]
    private static partial Regex Question();
}
