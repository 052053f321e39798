// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.Cli.Words;

/// <summary>A command line of docker's, in which <c>run</c> and <c>create</c> may have <c>--gpu-memory</c>.</summary>
sealed class DockerLine
{
    readonly byte[][] _words;
    readonly WordKind[] _kinds;

    public DockerLine(IReadOnlyList<byte[]> words)
    {
        _words = [.. words];
        _kinds = new WordKind[words.Count];
        var place = WordKind.Global;
        for (var n = 0; n < _words.Length; n++)
        {
            (var kind, place, var takesNext) = Look(_words[n], place);
            _kinds[n] = kind;
            if (!takesNext || n + 1 == _words.Length)
                continue;
            n++;
            _kinds[n] = kind == WordKind.Quota ? WordKind.QuotaValue : WordKind.Value;
        }
    }

    /// <summary>Where the command stands; null: there is none.</summary>
    public int? CommandAt => Array.IndexOf(_kinds, WordKind.Command) is var at && at >= 0 ? at : null;

    /// <summary>What the last word is, or would become: <see cref="WordKind.Global"/> where there is none.</summary>
    public WordKind LastKind => _kinds.Length > 0 ? _kinds[^1] : WordKind.Global;

    /// <summary>The words of one kind, in their order.</summary>
    public IEnumerable<byte[]> Of(WordKind kind) => _words.Where((_, n) => _kinds[n] == kind);

    /// <summary>The same without <c>--gpu-memory</c>, as docker completes it.</summary>
    public IEnumerable<byte[]> WithoutQuota() =>
        _words.Where((_, n) => _kinds[n] is not (WordKind.Quota or WordKind.QuotaValue));

    /// <summary>What docker gets: the same words, and for <c>--gpu-memory</c> those that mean it.</summary>
    /// <exception cref="UserException">It has no value.</exception>
    public IReadOnlyList<byte[]> ForDocker()
    {
        var words = new List<byte[]>(_words.Length + 3);
        for (var n = 0; n < _words.Length; n++)
        {
            if (_kinds[n] == WordKind.QuotaValue)
                words.AddRange(GpuMemoryOption.Meaning(_words[n]));
            else if (_kinds[n] != WordKind.Quota)
                words.Add(_words[n]);
            else if (GpuMemoryOption.HoldsValue(_words[n]))
                words.AddRange(GpuMemoryOption.Meaning(GpuMemoryOption.ValueIn(_words[n])));
            else if (n == _words.Length - 1)
                throw new UserException(GpuMemoryOption.MissingValue, exitCode: 125);
        }

        return words;
    }

    /// <summary>What a word is, what may follow it, and whether the next one is its value.</summary>
    /// <param name="word">The word.</param>
    /// <param name="place">Global: no command yet. Command: behind <c>container</c>. Option: where options of run may
    /// stand. Rest: behind them.</param>
    static (WordKind Kind, WordKind Place, bool TakesNext) Look(byte[] word, WordKind place) =>
        place switch
        {
            WordKind.Global when word.Begins("-"u8) => (WordKind.Global, place, GlobalOptions.TakesNext(word)),
            WordKind.Global when word.Is("container"u8) => (WordKind.Command, WordKind.Command, false),
            WordKind.Global => (WordKind.Command, IsRun(word) ? WordKind.Option : WordKind.Rest, false),
            WordKind.Command when IsRun(word) => (WordKind.Command, WordKind.Option, false),
            WordKind.Option when word.Is("--"u8) => (WordKind.Option, WordKind.Rest, false),
            WordKind.Option when GpuMemoryOption.Is(word) => (WordKind.Quota, place, !GpuMemoryOption.HoldsValue(word)),
            WordKind.Option when word.Length > 1 && word[0] == '-' => (
                WordKind.Option,
                place,
                RunOptions.TakesNext(word)
            ),
            _ => (WordKind.Rest, WordKind.Rest, false),
        };

    static bool IsRun(byte[] word) => word.Is("run"u8) || word.Is("create"u8);
}
